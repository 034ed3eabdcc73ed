// Package wire is what httpapi and client both have to know: the shapes of requests and answers that
// the HTTP interface has, and the one table between errors and what HTTP says of them. It does nothing.
package wire
