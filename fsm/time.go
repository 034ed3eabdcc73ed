package fsm

import (
	"fmt"
	"time"
)

// Time is nanoseconds since the Unix epoch, so that it is the same bytes on every node; msgpack's own time
// would decode into the local zone. Its text is RFC 3339 in UTC. The zero Time means "not given".
type Time int64

// TimeOf converts t; times outside the years 1678 to 2262 have no meaning as a Time.
func TimeOf(t time.Time) Time { return Time(t.UnixNano()) }

// Time returns t in UTC.
func (t Time) Time() time.Time { return time.Unix(0, int64(t)).UTC() }

func (t Time) String() string { return t.Time().Format(time.RFC3339Nano) }

// MarshalText writes RFC 3339 in UTC.
func (t Time) MarshalText() ([]byte, error) { return t.Time().AppendFormat(nil, time.RFC3339Nano), nil }

// UnmarshalText reads RFC 3339 in any zone.
func (t *Time) UnmarshalText(text []byte) error {
	parsed, err := time.Parse(time.RFC3339Nano, string(text))
	if err != nil {
		return fmt.Errorf("%q is not a time like 2026-01-02T15:04:05Z", text)
	}
	if year := parsed.UTC().Year(); year < 1678 || year > 2261 {
		return fmt.Errorf("%q is outside the years 1678 to 2261", text)
	}
	*t = TimeOf(parsed)
	return nil
}

// Duration is nanoseconds. Its text is Go's: "10m", "1h30m", "250ms".
type Duration int64

func (d Duration) String() string { return time.Duration(d).String() }

// MarshalText writes Go's form of a duration.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads Go's form of a duration.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("%q is not a duration like \"10m\"", text)
	}
	*d = Duration(parsed)
	return nil
}
