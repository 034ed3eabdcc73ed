package wire

import (
	"errors"
	"net/http"

	"github.com/registrard/registrard/fsm"
	"github.com/registrard/registrard/log"
	"github.com/registrard/registrard/registrar"
	"github.com/registrard/registrard/registrar/mastership"
)

// Error is an answer that is no result.
type Error struct {
	Code     string `json:"code"`
	Message  string `json:"message"`
	Happened string `json:"happened"` // "no", or "perhaps" where nobody here can know
}

// The values of Error.Happened.
const (
	No      = "no"
	Perhaps = "perhaps"
)

// Errors that have no home in another package.
var (
	ErrNotFound = errors.New("not found")
	ErrExpired  = errors.New("changes after this index are no longer kept")
	ErrRefused  = errors.New("refused") // by a rule of the membership
	ErrDown     = errors.New("this node cannot answer")
)

// Row is one error: what it is in Go, and what HTTP says.
type Row struct {
	Err    error
	Status int
	Code   string
}

// Table is read both ways: the server turns errors into answers, the first row that matches deciding, and the
// client turns answers into the same errors.
var Table = []Row{
	{log.ErrUncertain, http.StatusGatewayTimeout, "uncertain"},
	{fsm.ErrTooLarge, http.StatusRequestEntityTooLarge, "too_large"},
	{log.ErrTooLarge, http.StatusRequestEntityTooLarge, "too_large"},
	{registrar.ErrInvalid, http.StatusBadRequest, "bad_request"},
	{registrar.ErrBusy, http.StatusTooManyRequests, "busy"},
	{log.ErrNotLeader, http.StatusServiceUnavailable, "no_leader"},
	{log.ErrHalted, http.StatusServiceUnavailable, "halted"},
	{log.ErrClosed, http.StatusServiceUnavailable, "closed"},
	{registrar.ErrWithdrawn, http.StatusServiceUnavailable, "withdrawn"},
	{mastership.ErrHeld, http.StatusConflict, "held"},
	{mastership.ErrSuperseded, http.StatusConflict, "superseded"},
	{log.ErrUnknownReplica, http.StatusNotFound, "unknown_member"},
	{ErrNotFound, http.StatusNotFound, "not_found"},
	{ErrExpired, http.StatusGone, "expired"},
	{ErrRefused, http.StatusConflict, "refused"},
	{ErrDown, http.StatusInternalServerError, "internal"},
}

// Describe says what HTTP answers to an error.
func Describe(err error) (status int, answer Error) {
	answer = Error{Message: err.Error(), Happened: No}
	for _, row := range Table {
		if errors.Is(err, row.Err) {
			if row.Err == log.ErrUncertain {
				answer.Happened = Perhaps
			}
			answer.Code = row.Code
			return row.Status, answer
		}
	}
	// What one operation answers inside a request that was not about operations.
	var rejection *fsm.Rejection
	if errors.As(err, &rejection) && rejection.Code == fsm.BadRequest {
		answer.Code, answer.Message = "bad_request", rejection.Reason
		return http.StatusBadRequest, answer
	}
	answer.Code = "refused"
	return http.StatusConflict, answer
}

// Restore is the error that an answer was made from; its message is the answer's.
func (e Error) Restore() error {
	if e.Happened == Perhaps {
		return restored{e.Message, log.ErrUncertain}
	}
	for _, row := range Table {
		if row.Code == e.Code {
			return restored{e.Message, row.Err}
		}
	}
	return restored{e.Message, ErrRefused}
}

// restored keeps the words of the server and the identity of the error.
type restored struct {
	message string
	is      error
}

func (r restored) Error() string { return r.message }
func (r restored) Unwrap() error { return r.is }
