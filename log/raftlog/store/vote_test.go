package store

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/registrard/registrard/log/disk"
)

func openVote(t *testing.T, path string) *Vote {
	t.Helper()
	v, err := OpenVote(path, guard(t))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func closeVote(t *testing.T, v *Vote) {
	t.Helper()
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
}

// cast does what raft does when it votes.
func cast(t *testing.T, v *Vote, term uint64, candidate string) {
	t.Helper()
	if err := errors.Join(
		v.SetUint64([]byte(keyTerm), term),
		v.SetUint64([]byte(keyVoteTerm), term),
		v.Set([]byte(keyCandidate), []byte(candidate)),
	); err != nil {
		t.Fatal(err)
	}
}

func ballotOf(v *Vote) (term uint64, candidate string) {
	term, _ = v.GetUint64([]byte(keyVoteTerm))
	c, _ := v.Get([]byte(keyCandidate))
	return term, string(c)
}

// Term and vote survive reopening; what was never set is "not found", to the letter, for raft compares.
func TestVoteSurvivesReopening(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "dir", "vote")
	v := openVote(t, path)
	if _, err := v.GetUint64([]byte(keyTerm)); err == nil || err.Error() != "not found" {
		t.Errorf("missing term: %v", err)
	}
	if _, err := v.Get([]byte(keyCandidate)); err == nil || err.Error() != "not found" {
		t.Errorf("missing candidate: %v", err)
	}
	cast(t, v, 4, "n1")
	if err := v.SetUint64([]byte(keyTerm), 6); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		closeVote(t, v)
		v = openVote(t, path)
		if term, err := v.GetUint64([]byte(keyTerm)); err != nil || term != 6 {
			t.Errorf("term %d: %v", term, err)
		}
		if term, candidate := ballotOf(v); term != 4 || candidate != "n1" {
			t.Errorf("vote for %q in term %d", candidate, term)
		}
	}
	if v.Set([]byte("else"), nil) == nil || v.SetUint64([]byte("else"), 1) == nil {
		t.Error("a key that raft does not have was taken")
	}
	closeVote(t, v)
	checkModes(t, filepath.Dir(path))
}

// A crash between raft's two writes of a vote leaves the vote before, whole.
func TestVoteIsOneWrite(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "vote")
	v := openVote(t, path)
	cast(t, v, 4, "n1")
	if err := v.SetUint64([]byte(keyVoteTerm), 5); err != nil {
		t.Fatal(err)
	}
	closeVote(t, v)
	v = openVote(t, path)
	defer closeVote(t, v)
	if term, candidate := ballotOf(v); term != 4 || candidate != "n1" {
		t.Errorf("vote for %q in term %d", candidate, term)
	}
}

// The file of a ballot before, put back beside the mark of a later one, is a lost transaction.
func TestLostBallotIsNoticed(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "vote")
	v := openVote(t, path)
	cast(t, v, 4, "n1")
	closeVote(t, v)
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, state := range []string{"settled", "writing"} {
		v = openVote(t, path)
		cast(t, v, 5, "n2")
		number := v.ballot.number
		closeVote(t, v)
		if err := os.WriteFile(path, old, 0o600); err != nil {
			t.Fatal(err)
		}
		if state == "writing" {
			if err := disk.CreateMark(path+".mark", number, writing); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := OpenVote(path, guard(t)); !errors.Is(err, disk.ErrDamaged) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", state, err)
		}
		v, err := restoredVote(t, path)
		if err != nil {
			t.Fatal(err)
		}
		closeVote(t, v)
	}
}

// restoredVote starts the directory over.
func restoredVote(t *testing.T, path string) (*Vote, error) {
	t.Helper()
	if err := errors.Join(os.Remove(path), os.Remove(path+".mark")); err != nil {
		return nil, err
	}
	v := openVote(t, path)
	cast(t, v, 4, "n1")
	return v, nil
}

// A crash at each step of writing a ballot leaves the ballot before or the new one, and no false alarm.
func TestCrashWhileVoting(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "vote")
	v := openVote(t, path)
	cast(t, v, 4, "n1")
	number := v.ballot.number
	closeVote(t, v)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	v = openVote(t, path)
	if err := errors.Join(v.SetUint64([]byte(keyVoteTerm), 5), v.Set([]byte(keyCandidate), []byte("n2"))); err != nil {
		t.Fatal(err)
	}
	closeVote(t, v)
	after, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		name string
		file []byte
		term uint64
	}{{"before the transaction", before, 4}, {"after the transaction", after, 5}} {
		if err := errors.Join(os.WriteFile(path, step.file, 0o600),
			disk.CreateMark(path+".mark", number, writing)); err != nil {
			t.Fatal(err)
		}
		v := openVote(t, path)
		if term, _ := ballotOf(v); term != step.term {
			t.Errorf("%s: the vote is of term %d, want %d", step.name, term, step.term)
		}
		closeVote(t, v)
	}
}

// bbolt may die while it makes its file; nothing was answered from it, so it is made anew.
func TestCrashWhileMakingTheVoteFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "vote")
	if err := errors.Join(disk.CreateMark(path+".mark", 0, writing), os.WriteFile(path, make([]byte, 5000), 0o600)); err != nil {
		t.Fatal(err)
	}
	v := openVote(t, path)
	cast(t, v, 1, "n1")
	closeVote(t, v)
}

// A second process cannot open the vote, and is told so at once.
func TestVoteIsLocked(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "vote")
	v := openVote(t, path)
	defer closeVote(t, v)
	if _, err := OpenVote(path, guard(t)); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("opened twice: %v", err)
	}
	cast(t, v, 1, "n1")
}

func FuzzBallot(f *testing.F) {
	f.Add(ballot{number: 3, term: 4, voteTerm: 4, candidate: []byte("n1")}.encode())
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, content []byte) {
		b, err := decodeBallot(content)
		if err == nil && string(b.encode()) != string(content) {
			t.Errorf("%x was read as %+v", content, b)
		}
	})
}

func FuzzSegments(f *testing.F) {
	content, err := encodeSegments(segmentsState(3))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(content)
	f.Add([]byte{})
	f.Fuzz(func(_ *testing.T, content []byte) {
		_, _ = decodeSegments(content) // must not panic
	})
}
