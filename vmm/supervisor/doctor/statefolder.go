package doctor

import "os"

// tryFolder makes and removes a file in a folder.
func tryFolder(dir string) error {
	f, err := os.CreateTemp(dir, ".doctor-")
	if err != nil {
		return err
	}
	f.Close()
	return os.Remove(f.Name())
}

// stateFolder looks at the folder of sockets and locks: err is what writing to it gave.
func stateFolder(dir string, err error) Finding {
	if err != nil {
		return Finding{Check: "folder", Level: Bad, Text: "the state folder cannot be written to: " + err.Error(), Remedy: "set FERRY_DIR to a folder of yours"}
	}
	return Finding{Check: "folder", Level: OK, Text: "machines are kept in " + dir}
}
