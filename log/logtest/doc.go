// Package logtest holds every backend of log.Log to the contract, with a machine of its own that only
// writes down what it is told. A backend's test is one line: logtest.Run(t, backend).
//
// It looks at a Log from outside alone. What takes a fault to show is asked of the backend through hooks;
// where a hook is nil, the tests that need it are skipped by name.
package logtest
