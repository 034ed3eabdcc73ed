package fsm

import "cmp"

// Provider is a resource provider. A removed one is remembered for ever, as in Mesos.
type Provider struct {
	ID   string `json:"id"`
	Type string `json:"type,omitempty"`
	Name string `json:"name,omitempty"`
	Mark `json:"-"`
}

func (p *Provider) key() string           { return p.ID }
func (p *Provider) fields(to []any) []any { return append(to, &p.ID, &p.Type, &p.Name) }

// AdmitProvider enters a resource provider that was never known. Mesos: AdmitResourceProvider.
type AdmitProvider struct {
	Provider Provider `json:"provider"`
}

// Kind is provider.admit.
func (AdmitProvider) Kind() Kind                { return "provider.admit" }
func (op *AdmitProvider) fields(to []any) []any { return append(to, &op.Provider) }

func (op AdmitProvider) check() error {
	return cmp.Or(checkID("provider.id", op.Provider.ID), checkText("provider.type", op.Provider.Type, MaxID),
		checkText("provider.name", op.Provider.Name, MaxID))
}

func (op AdmitProvider) apply(tx *Txn) (bool, error) {
	provider := op.Provider
	provider.Mark = Mark{}
	if _, ok := tx.s.providers.get(provider.ID); ok {
		return false, tx.reject(AlreadyKnown, "resource provider %s is already known", provider.ID)
	}
	if _, ok := tx.s.removedProviders.get(provider.ID); ok {
		return false, tx.reject(RemovedProvider, "resource provider %s was removed", provider.ID)
	}
	put(tx, &tx.s.providers, &provider, false)
	tx.changed(Change{ID: provider.ID})
	return true, nil
}

// RemoveProvider removes a resource provider for good. Mesos: RemoveResourceProvider.
type RemoveProvider struct {
	ID string `json:"id"`
}

// Kind is provider.remove.
func (RemoveProvider) Kind() Kind                { return "provider.remove" }
func (op *RemoveProvider) fields(to []any) []any { return append(to, &op.ID) }
func (op RemoveProvider) check() error           { return checkID("id", op.ID) }

func (op RemoveProvider) apply(tx *Txn) (bool, error) {
	provider, ok := tx.s.providers.get(op.ID)
	if !ok {
		if _, removed := tx.s.removedProviders.get(op.ID); removed {
			return false, tx.reject(RemovedProvider, "resource provider %s was removed", op.ID)
		}
		return false, tx.reject(UnknownProvider, "resource provider %s is unknown", op.ID)
	}
	removed := *provider
	drop(tx, &tx.s.providers, op.ID)
	put(tx, &tx.s.removedProviders, &removed, false)
	tx.changed(Change{ID: op.ID})
	return true, nil
}
