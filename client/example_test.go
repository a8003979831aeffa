package client_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/ferryvmm/ferry/client"
	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

// Boot a guest, look at it, and end it. Without --kernel it is loadgen, which checks its own memory.
func ExampleHost_Run() {
	ctx := context.Background()
	var host client.Host // the state folder that vmm uses, and the vmm of $PATH
	alpha, err := host.Run(ctx, "--name", "alpha", "--memory", "64M")
	if err != nil {
		log.Fatal(err)
	}
	m, err := alpha.Machine(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s is %s, with %d MiB\n", m.Name, m.State, m.MemoryBytes>>20)
	if err := alpha.Stop(ctx); err != nil {
		log.Fatal(err)
	}
	left, err := host.Machines(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("left:", len(left))
	// It prints:
	// alpha is running, with 64 MiB
	// left: 0
}

// Move a guest while it runs. Two state folders are two hosts, which on one machine meet at a loopback address.
func ExampleHost_Receive() {
	ctx := context.Background()
	var hosts [2]client.Host
	for i := range hosts {
		dir, err := os.MkdirTemp("", "host")
		if err != nil {
			log.Fatal(err)
		}
		defer os.RemoveAll(dir)
		hosts[i].Dir = dir
	}
	alpha, err := hosts[0].Run(ctx, "--name", "alpha", "--memory", "64M")
	if err != nil {
		log.Fatal(err)
	}
	address, _, err := hosts[1].Receive(ctx, "--listen", "tcp:127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	result, err := alpha.Migrate(ctx, api.MigrateRequest{Target: address, Mode: api.ModeAuto, DowntimeLimitMS: 50}, nil)
	if err != nil {
		log.Fatal(err) // it did not begin
	}
	fmt.Println(result.Outcome)
	if result.Outcome != api.OutcomeCompleted {
		log.Fatal(result.Error) // the guest is where it was, unless the outcome is in doubt or lost
	}
	alpha, err = hosts[1].Machine(result.TargetName)
	if err != nil {
		log.Fatal(err)
	}
	m, err := alpha.Machine(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s is %s there, after %d move\n", m.Name, m.State, m.Moves)
	if err := alpha.Stop(ctx); err != nil {
		log.Fatal(err)
	}
	// It prints:
	// completed
	// alpha is running there, after 1 move
}
