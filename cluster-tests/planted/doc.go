// Package planted holds the places of bugs that the checkers of cluster-tests must find. In a program that is
// built as usual every one of them is a constant that is false, and the compiler takes the bug out. Built with
// the tag planted, the program has those that the environment variable REGISTRARD_PLANT names, separated by
// commas. No such program is ever shipped.
package planted
