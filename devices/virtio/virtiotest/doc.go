// Package virtiotest is a guest for the tests of virtio devices: memory that
// notes what was marked dirty, and a driver that operates a device without a
// transport and checks what the device may not get wrong.
//
//	mem := virtiotest.NewMemory(t, 1<<20)
//	d := virtiotest.Run(t, device, mem, virtiotest.Options{})
//	got := d.Queue(0).Do([][]byte{header}, 512, 1) // what the device wrote
//	d.Move(func() virtio.Device { s := device.Save(); return again(&s) })
//
// Methods fail the test by themselves, with t.Fatalf where they wait: call those
// on the test's goroutine.
package virtiotest
