package guestmem

// Extents lists what is data, in ascending order: about 10 ns a page of data.
func (m *Memory) Extents() ([]Range, error) {
	var all []Range
	for _, r := range m.regions {
		for page := uint64(0); ; {
			from, err := r.data(page)
			if err != nil {
				return nil, err
			}
			if from >= r.pages() {
				break
			}
			if page, err = r.hole(from); err != nil {
				return nil, err
			}
			all = append(all, Range{GPA: r.GPA + from*PageSize, Size: (page - from) * PageSize})
		}
	}
	return all, nil
}
