package fsm

import (
	"fmt"
	"maps"
	"math"
	"slices"
)

// Quota is what a role is guaranteed and may not exceed, by resource name. Mesos: QuotaConfig.
type Quota struct {
	Role       string             `json:"role"`
	Guarantees map[string]float64 `json:"guarantees,omitempty"`
	Limits     map[string]float64 `json:"limits,omitempty"` // a name without a limit is unlimited; a limit of 0 is one
	Mark       `json:"-"`
}

func (q *Quota) key() string           { return q.Role }
func (q *Quota) fields(to []any) []any { return append(to, &q.Role, &q.Guarantees, &q.Limits) }

// isDefault quotas ask for nothing, and are not kept.
func (q *Quota) isDefault() bool {
	for _, v := range q.Guarantees {
		if v != 0 {
			return false
		}
	}
	return len(q.Limits) == 0
}

// invalid says what is wrong with a quota, in the order of Mesos's checks (src/master/quota.cpp).
func (q *Quota) invalid() error {
	if err := checkRole(q.Role); err != nil {
		return err
	}
	for what, amounts := range q.amounts() {
		for _, name := range slices.Sorted(maps.Keys(amounts)) {
			most := 1e12
			if name == "mem" || name == "disk" {
				most = 1 << 40 // MB: one exabyte
			}
			if v := amounts[name]; v > most {
				return fmt.Errorf("role %s: %s of %s is above %.0f", q.Role, what, name, most)
			}
		}
	}
	for what, amounts := range q.amounts() {
		for _, name := range slices.Sorted(maps.Keys(amounts)) {
			const smallestNormal = 0x1p-1022
			if v := amounts[name]; math.IsNaN(v) || v < 0 || v != 0 && v < smallestNormal {
				return fmt.Errorf("role %s: %s of %s is not a number from 0 on", q.Role, what, name)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(q.Guarantees)) {
		if limit, ok := q.Limits[name]; ok && q.Guarantees[name] > limit {
			return fmt.Errorf("role %s: the guarantee of %s is above its limit", q.Role, name)
		}
	}
	return nil
}

// amounts gives guarantees, then limits.
func (q *Quota) amounts() func(func(string, map[string]float64) bool) {
	return func(yield func(string, map[string]float64) bool) {
		_ = yield("the guarantee", q.Guarantees) && yield("the limit", q.Limits)
	}
}

// UpdateQuota sets the quotas of some roles, all or none; one without a guarantee and a limit removes the
// role's. Mesos: UpdateQuota.
type UpdateQuota struct {
	Quotas []Quota `json:"quotas"`
}

// Kind is quota.update.
func (UpdateQuota) Kind() Kind                { return "quota.update" }
func (op *UpdateQuota) fields(to []any) []any { return append(to, seq(&op.Quotas)) }

func (op UpdateQuota) check() error {
	for i := range op.Quotas {
		q := &op.Quotas[i]
		if err := checkText(fmt.Sprintf("quotas[%d].role", i), q.Role, MaxID); err != nil {
			return err
		}
		for _, amounts := range q.amounts() {
			for name := range amounts {
				if err := checkID(fmt.Sprintf("quotas[%d]: a resource's name", i), name); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (op UpdateQuota) apply(tx *Txn) (bool, error) {
	for i := range op.Quotas {
		if err := op.Quotas[i].invalid(); err != nil {
			return false, tx.reject(InvalidQuota, "%s", err)
		}
	}
	touched := map[string]bool{} // a role may be named twice: the last word counts, and watchers hear of it once
	for _, q := range op.Quotas {
		q.Mark = Mark{}
		if q.isDefault() && drop(tx, &tx.s.quotas, q.Role) || !q.isDefault() && put(tx, &tx.s.quotas, &q, false) {
			if !touched[q.Role] {
				tx.changed(Change{ID: q.Role})
			}
			touched[q.Role] = true
		}
	}
	return len(touched) > 0, nil
}
