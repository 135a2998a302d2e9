// The workloads for servers: a goroutine for each connection. The program prints the port on which it listens, and
// serves until its standard input ends.

package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
)

const (
	bufferSize = 1024
	response   = "Hello, world!"
)

var servers = map[string]func(net.Listener){
	"echo1":            serveEcho,
	"echo64":           serveEcho,
	"echo1000":         serveEcho,
	"echo10000":        serveEcho,
	"idle_connections": serveEcho,
	"http":             serveHTTP,
}

// serve does not return.
func serve(handle func(net.Listener)) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go func() {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	handle(listener)
}

func serveEcho(listener net.Listener) {
	for {
		connection, err := listener.Accept()
		if err != nil {
			panic(err)
		}
		go echo(connection)
	}
}

// echo sends back what it receives. Go sets TCP_NODELAY on every connection.
func echo(connection net.Conn) {
	defer connection.Close()
	buffer := make([]byte, bufferSize)
	for {
		n, err := connection.Read(buffer)
		if err != nil {
			return
		}
		if _, err := connection.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func serveHTTP(listener net.Listener) {
	body := []byte(response)
	http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Write(body)
	}))
}
