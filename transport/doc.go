// Package transport carries bytes between the replicas of one log: Raft's own calls, and a small "hello" by
// which nodes learn who is there before they trust each other with a vote. It knows no registry and no
// log; the packages below it (httpapi, client) carry the registrar's calls and are independent of it.
//
// # The peer port
//
// One listener serves everything. Whoever connects speaks first, after the TLS handshake where there is one:
//
//	magic    4 bytes   "RGRD"
//	version  1 byte    1
//	purpose  1 byte    'r' raft calls, 'h' hello, 's' suspicion
//	cluster  2 bytes length, big endian, then at most 256 bytes; empty where it is not known yet
//	from     the same; the id of the node that connects
//	to       the same; the id of the node that it means to reach
//	at       the same; the address that the node which connects is reached at, so that one that moved is found
//
// and is answered one byte, the verdict: 0 welcome, 1 other cluster, 2 other node, 3 fenced, 4 unknown
// version or purpose. Anything but 0 is followed by a close. Nothing else is decoded before the preamble is
// found right, so a stranger, a node of another cluster or a reused address never reaches msgpack.
//
//   - raft: the stream of hashicorp/raft's NetworkTransport, for as long as both sides like.
//   - hello: the node that was asked sends one frame, four bytes of length and JSON of at most 64 KiB, and
//     closes. It works before a cluster exists, so the cluster is not compared.
//   - suspicion: one frame each way, in the same form: whether the leader of a term is dead as far as the node that
//     is asked sees (suspicion.go). Voters agree so before one of them stands without waiting for a timeout.
//
// # What Peer promises
//
// It is a raft.Transport with pre-vote, without the heartbeat fast path (hashicorp/raft issue 695) and with
// one call in flight per peer. For each peer it knows when the last answered AppendEntries was started, and
// how far the peer's log is known to match: the first is what linearizable reads rest on, the second what
// promotion and transfer of leadership do. It also knows which members were connected for Raft's calls and are no more
// (losses.go). Fence stops it for good, both ways.
//
// With certificates both ends of a connection must show one signed by the peers' authority, and files are
// read again when they change. Without them anybody who can reach the port and knows the cluster's id is
// believed; refusing that on addresses that are not loopback is the command's affair.
//
// # Goroutines
//
// Listen starts one that accepts; each connection has one until its preamble is read (at most 64 at a time,
// each for at most HandshakeTimeout), then raft connections belong to the NetworkTransport, which reads one
// per goroutine. Close ends all of them before it returns.
//
// Where does a new line go? Bytes of the preamble: preamble.go. Connections and their bounds: stream.go.
// What is noted of answers: progress.go; of connections: losses.go. Frames of JSON: frame.go. Certificates: tls.go. Raft's calls: peer.go.
package transport
