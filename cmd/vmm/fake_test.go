package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

// fakeVMM set in the environment makes this test binary a vmm with an imaginary guest, for the demo. Its value says what
// goes wrong: nothing, or one of the words below.
const fakeVMM = "FERRY_TEST_FAKE_VMM"

// fakeGuest is a guest that is nothing but its counters.
type fakeGuest struct {
	Beat, Verified uint64
}

func fakeMain(args []string) int {
	fault := os.Getenv(fakeVMM)
	flags := map[string]string{}
	for i := range args {
		if name, ok := strings.CutPrefix(args[i], "--"); ok && i+1 < len(args) {
			flags[name] = args[i+1]
		}
	}
	socket := filepath.Join(os.Getenv("FERRY_DIR"), "fake")
	var err error
	code := 0
	switch args[0] {
	case "run":
		if fault == "run" {
			err = api.Errorf("no_kvm", "load the module", "no /dev/kvm")
			break
		}
		if err = fakeNetwork(flags["net"]); err != nil {
			break
		}
		fmt.Println("READY")
		code, err = fakeGuestRuns(socket, fakeGuest{}, fault)
	case "receive":
		code, err = fakeReceive(socket, strings.TrimPrefix(flags["listen"], "tcp:"), flags["net"], fault)
	case "migrate":
		if fault == "migrate" {
			return fakeEmit(api.Result{Outcome: api.OutcomeFailed, Reason: "no link", Error: api.Errorf("unreachable", "look", "no link")}, 1)
		}
		if err = fakeAsk(socket, args[2]); err == nil {
			return fakeEmit(api.Result{Outcome: api.OutcomeCompleted, TargetName: args[1], SentBytes: 1 << 20, DowntimeMS: 1}, 0)
		}
	case "stop":
		err = fakeAsk(socket, "stop")
	}
	if err != nil {
		known := api.AsError(err)
		fmt.Fprintf(os.Stderr, "vmm: %s\ntry: %s\n", known.Message, known.Remedy)
		return 1
	}
	return code
}

func fakeEmit(r api.Result, code int) int {
	json.NewEncoder(os.Stdout).Encode(r) //nolint:errcheck // the demo fails for want of it
	return code
}

// fakeAsk gives an order to the guest behind a socket, and returns when it was followed.
func fakeAsk(socket, order string) error {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, order+"\n"); err != nil {
		return err
	}
	_, err = io.ReadAll(conn)
	return err
}

func fakeReceive(socket, listen, network, fault string) (int, error) {
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return 1, err
	}
	defer listener.Close()
	fmt.Println("listening tcp:" + listener.Addr().String())
	conn, err := listener.Accept()
	if err != nil {
		return 1, err
	}
	var g fakeGuest
	if err := json.NewDecoder(conn).Decode(&g); err != nil {
		return 1, err
	}
	conn.Close()
	if err := fakeNetwork(network); err != nil {
		return 1, err
	}
	if fault == "doubled" {
		g.Beat--
	}
	return fakeGuestRuns(socket, g, fault)
}

// fakeGuestRuns beats until an order comes, which it follows.
func fakeGuestRuns(socket string, g fakeGuest, fault string) (int, error) {
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return 1, err
	}
	defer listener.Close()
	orders := make(chan net.Conn)
	go func() {
		if conn, err := listener.Accept(); err == nil {
			orders <- conn
		}
	}()
	tick := time.NewTicker(demoPeriod)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			g.Beat++
			g.Verified += 100
			fmt.Printf("HB 0 %d %d\n", g.Beat, g.Beat*uint64(demoPeriod))
			if g.Beat%50 == 0 {
				corrupt := 0
				if fault == "corrupt" {
					corrupt = 3
				}
				fmt.Printf("STAT verified=%d corrupt=%d doubled=0 lost=0\n", g.Verified, corrupt)
			}
		case conn := <-orders:
			defer conn.Close()
			order := make([]byte, 256)
			n, err := conn.Read(order)
			if err != nil {
				return 1, err
			}
			target, ok := strings.CutPrefix(strings.TrimSpace(string(order[:n])), "tcp:")
			if !ok {
				fmt.Println("BYE")
				code, _ := strconv.Atoi(map[string]string{"wrong": "4"}[fault])
				return code, nil
			}
			there, err := net.Dial("tcp", target)
			if err != nil {
				return 1, err
			}
			defer there.Close()
			return 0, json.NewEncoder(there).Encode(g)
		}
	}
}
