package main

import (
	"errors"
	"fmt"

	"github.com/registrard/registrard/log/disk"
)

// healing adds to an error about damage the one way out. A member that has forgotten a vote or an entry would break
// the promises of others, so it never comes back under its id with an emptied directory.
func (o serverOptions) healing(err error) error {
	switch {
	case !errors.Is(err, disk.ErrDamaged):
		return err
	case o.alone || len(o.initialMembers) == 1 || o.backend == backendLevelDB:
		kept := ""
		if o.backend == backendLevelDB {
			kept = " --log leveldb"
		}
		return fmt.Errorf("%w; nothing was changed; keep %s, and restore a backup into an empty directory: "+
			"registrard restore --id %s%s --data-dir NEW-DIR BACKUP", err, o.dataDir, o.id, kept)
	case o.backend == backendZooKeeper:
		return fmt.Errorf("%w; nothing was changed; keep what the ensemble holds, and restore a backup below another path: "+
			"registrard restore --id %s --log zookeeper --zookeeper SERVERS/NEW-PATH BACKUP", err, o.id)
	default:
		return fmt.Errorf("%w; nothing was changed; keep %s, and replace this member: registrard members remove %s "+
			"--address http://OTHER && registrard serve --id NEW-ID --data-dir NEW-DIR --join http://OTHER (without other "+
			"members: registrard restore --id NEW-ID --data-dir NEW-DIR BACKUP)", err, o.dataDir, o.id)
	}
}
