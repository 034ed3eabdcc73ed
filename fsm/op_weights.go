package fsm

import (
	"cmp"
	"fmt"
	"math"
)

// Weight is a role's share where roles compete. Mesos: WeightInfo.
type Weight struct {
	Role   string  `json:"role"`
	Weight float64 `json:"weight"`
	Mark   `json:"-"`
}

func (w *Weight) key() string           { return w.Role }
func (w *Weight) fields(to []any) []any { return append(to, &w.Role, &w.Weight) }

// UpdateWeights sets the weights of some roles, all or none; weight 0 removes the role's. Mesos:
// UpdateWeights, which cannot remove one and leaves the checks to its endpoint.
type UpdateWeights struct {
	Weights []Weight `json:"weights"`
}

// Kind is weights.update.
func (UpdateWeights) Kind() Kind                { return "weights.update" }
func (op *UpdateWeights) fields(to []any) []any { return append(to, seq(&op.Weights)) }

func (op UpdateWeights) check() error {
	for i, w := range op.Weights {
		if err := checkText(fmt.Sprintf("weights[%d].role", i), w.Role, MaxID); err != nil {
			return err
		}
	}
	return nil
}

func (op UpdateWeights) apply(tx *Txn) (bool, error) {
	for _, w := range op.Weights {
		if err := cmp.Or(checkRole(w.Role), checkWeight(w)); err != nil {
			return false, tx.reject(InvalidWeight, "%s", err)
		}
	}
	touched := map[string]bool{} // a role may be named twice: the last word counts, and watchers hear of it once
	for _, w := range op.Weights {
		w.Mark = Mark{}
		if w.Weight == 0 && drop(tx, &tx.s.weights, w.Role) || w.Weight != 0 && put(tx, &tx.s.weights, &w, false) {
			if !touched[w.Role] {
				tx.changed(Change{ID: w.Role})
			}
			touched[w.Role] = true
		}
	}
	return len(touched) > 0, nil
}

func checkWeight(w Weight) error {
	if math.IsNaN(w.Weight) || math.IsInf(w.Weight, 0) || w.Weight < 0 {
		return fmt.Errorf("role %s: weight %v is not a number from 0 on", w.Role, w.Weight)
	}
	return nil
}
