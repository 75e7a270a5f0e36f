// Go's SSH, golang.org/x/crypto/ssh, as a peer of the interop tests, in either seat. `ci.sh tools` builds it.
//
//	peer client HOST PORT USER KEY KNOWN_HOSTS REKEY_BYTES CHANNELS COMMAND
//	peer server HOST PORT AUTHORIZED_KEYS REKEY_BYTES HOST_KEY...
//
// The client gives all of its standard input to COMMAND on each of so many channels at once, while it asks for signs of
// life without end. What comes back has to be the same on all of them; that of the first is written to its output, and
// its status is the status of the first. The server runs commands with a shell. It shows a host key's certificate, if
// there is one.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

func main() {
	if len(os.Args) < 7 {
		fail(errors.New("arguments are missing"))
	}
	var err error
	switch os.Args[1] {
	case "client":
		err = client(os.Args[2:])
	case "server":
		err = server(os.Args[2:])
	default:
		err = fmt.Errorf("no such seat: %s", os.Args[1])
	}
	var exit *ssh.ExitError
	if errors.As(err, &exit) {
		os.Exit(exit.ExitStatus())
	}
	if err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// config has every key exchange method, the usual ones first. If none is named, MACs are all of them, and ciphers all but those
// in CBC mode: the library has these for whoever names them, but does not know them beside the MACs of kind -etm that it offers.
func config(rekeyBytes string) ssh.Config {
	limit, err := strconv.ParseUint(rekeyBytes, 10, 64)
	if err != nil {
		fail(err)
	}
	return ssh.Config{
		RekeyThreshold: limit,
		KeyExchanges: []string{
			"curve25519-sha256", "curve25519-sha256@libssh.org", "ecdh-sha2-nistp256", "ecdh-sha2-nistp384",
			"ecdh-sha2-nistp521", "diffie-hellman-group14-sha256", "diffie-hellman-group14-sha1",
			"diffie-hellman-group1-sha1",
		},
	}
}

func key(file string) (ssh.Signer, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return ssh.ParsePrivateKey(text)
}

// ---- the client ------------------------------------------------------------------------------------------------------

func client(arguments []string) error {
	host, port, user, keyFile, known, rekey := arguments[0], arguments[1], arguments[2], arguments[3], arguments[4], arguments[5]
	channels, err := strconv.Atoi(arguments[6])
	if err != nil {
		return err
	}
	signer, err := key(keyFile)
	if err != nil {
		return err
	}
	believed, err := knownhosts.New(known)
	if err != nil {
		return err
	}
	wanted := config(rekey)
	// The client knows this one as well.
	wanted.KeyExchanges = append(wanted.KeyExchanges, "diffie-hellman-group-exchange-sha256",
		"diffie-hellman-group-exchange-sha1")
	connection, err := ssh.Dial("tcp", net.JoinHostPort(host, port), &ssh.ClientConfig{
		Config:          wanted,
		User:            user,
		Auth:            []ssh.AuthMethod{ssh.PublicKeys(signer)},
		HostKeyCallback: believed,
	})
	if err != nil {
		return err
	}
	defer connection.Close()
	input, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	go askForSignsOfLife(connection)
	return runOnAll(connection, arguments[7], input, channels)
}

func askForSignsOfLife(connection ssh.Conn) {
	for {
		if _, _, err := connection.SendRequest("keepalive@openssh.com", true, nil); err != nil {
			return
		}
	}
}

type ended struct {
	output []byte
	err    error
}

func runOnAll(connection *ssh.Client, command string, input []byte, channels int) error {
	var all []chan ended
	for number := 0; number < channels; number++ {
		one := make(chan ended, 1)
		all = append(all, one)
		go func() { one <- runOn(connection, command, input) }()
	}
	var first ended
	for number, one := range all {
		this := <-one
		if number == 0 {
			first = this
		}
		if !bytes.Equal(first.output, this.output) {
			return fmt.Errorf("channel %d: %d bytes, %v; the first: %d bytes, %v", number, len(this.output), this.err,
				len(first.output), first.err)
		}
	}
	if _, err := os.Stdout.Write(first.output); err != nil {
		return err
	}
	return first.err
}

func runOn(connection *ssh.Client, command string, input []byte) ended {
	session, err := connection.NewSession()
	if err != nil {
		return ended{nil, err}
	}
	defer session.Close()
	session.Stdin = bytes.NewReader(input)
	session.Stderr = os.Stderr
	output, err := session.Output(command)
	return ended{output, err}
}

// ---- the server ------------------------------------------------------------------------------------------------------

func server(arguments []string) error {
	host, port, authorized, rekey := arguments[0], arguments[1], arguments[2], arguments[3]
	settings := &ssh.ServerConfig{
		Config:            config(rekey),
		PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) { return admit(authorized, key) },
	}
	for _, file := range arguments[4:] {
		signer, err := key(file)
		if err != nil {
			return err
		}
		settings.AddHostKey(signer)
		if certified := certified(file, signer); certified != nil {
			settings.AddHostKey(certified)
		}
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(host, port))
	if err != nil {
		return err
	}
	for {
		stream, err := listener.Accept()
		if err != nil {
			return err
		}
		go serve(stream, settings)
	}
}

func admit(file string, offered ssh.PublicKey) (*ssh.Permissions, error) {
	text, err := os.ReadFile(file)
	for err == nil && len(text) > 0 {
		var known ssh.PublicKey
		known, _, _, text, err = ssh.ParseAuthorizedKey(text)
		if err == nil && bytes.Equal(known.Marshal(), offered.Marshal()) {
			return &ssh.Permissions{}, nil
		}
	}
	return nil, errors.New("an unknown key")
}

func certified(file string, signer ssh.Signer) ssh.Signer {
	text, err := os.ReadFile(file + "-cert.pub")
	if err != nil {
		return nil
	}
	public, _, _, _, err := ssh.ParseAuthorizedKey(text)
	if err != nil {
		return nil
	}
	certificate, is := public.(*ssh.Certificate)
	if !is {
		return nil
	}
	certified, err := ssh.NewCertSigner(certificate, signer)
	if err != nil {
		return nil
	}
	return certified
}

func serve(stream net.Conn, settings *ssh.ServerConfig) {
	connection, opens, requests, err := ssh.NewServerConn(stream, settings)
	if err != nil {
		stream.Close()
		return
	}
	defer connection.Close()
	go ssh.DiscardRequests(requests)
	for open := range opens {
		if open.ChannelType() != "session" {
			open.Reject(ssh.UnknownChannelType, "sessions alone")
			continue
		}
		channel, requests, err := open.Accept()
		if err != nil {
			return
		}
		go session(channel, requests)
	}
}

func session(channel ssh.Channel, requests <-chan *ssh.Request) {
	started := false
	for request := range requests {
		var wanted struct{ Command string }
		is := request.Type == "exec" && !started && ssh.Unmarshal(request.Payload, &wanted) == nil
		if request.WantReply {
			request.Reply(is, nil)
		}
		// Not before: a short command ends the channel.
		if is {
			started = true
			go run(channel, wanted.Command)
		}
	}
}

func run(channel ssh.Channel, line string) {
	defer channel.Close()
	command := exec.Command("/bin/sh", "-c", line)
	command.Stdout, command.Stderr = channel, channel.Stderr()
	input, err := command.StdinPipe()
	if err != nil {
		return
	}
	if err := command.Start(); err != nil {
		return
	}
	// Its input may go on for longer than the command.
	go func() {
		io.Copy(input, channel)
		input.Close()
	}()
	err = command.Wait()
	status := struct{ Status uint32 }{0}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		status.Status = uint32(exit.ExitCode())
	} else if err != nil {
		return
	}
	channel.SendRequest("exit-status", false, ssh.Marshal(&status))
}
