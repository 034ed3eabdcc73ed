// Package zktest starts real ZooKeeper servers on loopback for tests, each a process of its own, and hurts them: killed,
// paused, restarted. It needs the jar of Debian's package zookeeper and a java; without them tests are skipped, and say so.
package zktest
