package guestmem

// A log that begins with every bit set has one for each page of a hole, too. To clear those would have KVM look for every page, 2.5 ms a
// GiB, with the guest's faults waiting for it, and nothing found. So they stay set, and a page of a hole counts as written once the file has it.

// vacate takes the holes out of a first round, chunk by chunk. The log has been read: what is written to them from now on is seen.
func (r *tracked) vacate() error {
	for page := uint64(0); page < r.pages(); {
		data, err := r.data(page)
		if err != nil {
			return err
		}
		end := data
		if end < r.pages() {
			end = data / chunkPages * chunkPages
		}
		if end <= page {
			page += chunkPages
			continue
		}
		r.vacant.setRange(page, end)
		r.pending.dropRange(page, end)
		r.seen.dropRange(page, end)
		page = end
	}
	return nil
}

// occupy takes out of vacant what has become data: a seek for each hole. What becomes data while it looks is found next time.
func (r *tracked) occupy() error {
	for page := uint64(0); ; {
		if page = r.vacant.nextSet(page, r.pages()); page == r.pages() {
			return nil
		}
		data, err := r.data(page)
		if err != nil {
			return err
		}
		if page = data; page == r.pages() || !r.vacant.get(page) {
			continue
		}
		end, err := r.dataUntil(page+1, min(page+learnPages, r.pages()))
		if err != nil {
			return err
		}
		r.vacant.dropRange(page, end)
		page = end
	}
}
