package httpapi

import (
	"net/http"
	"strconv"
	"time"
)

// getBackup streams a snapshot of one State: all that it takes to make the registry again. It ends with a checksum, by
// which the reader knows that it has all of it. While it is sent the registry moves on.
func (a *API) getBackup(w http.ResponseWriter, r *http.Request) error {
	if err := query(r); err != nil {
		return err
	}
	state, err := a.view(r)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Registrard-Index", strconv.FormatUint(state.Index(), 10))
	h.Set("Registrard-Digest", state.Digest())
	_, err = state.Snapshot().WriteTo(&patient{w: w, control: http.NewResponseController(w)})
	if err != nil {
		panic(http.ErrAbortHandler) // the answer has begun: a reader that is still there must not take it for whole
	}
	return nil
}

// patient writes to a reader that takes something of it now and then.
type patient struct {
	w       http.ResponseWriter
	control *http.ResponseController
}

func (p *patient) Write(b []byte) (int, error) {
	_ = p.control.SetWriteDeadline(time.Now().Add(patience)) // not every writer has one
	return p.w.Write(b)
}
