// Package transporttest has what tests of the network need: free addresses, and an authority that signs certificates.
// It is imported by tests alone.
package transporttest
