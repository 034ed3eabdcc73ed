package fsm

import (
	"iter"
	"slices"
)

// State is the registry at one index. One that a Registry gave out never changes and may be read from any
// goroutine, for as long as one likes; nothing that it returns may be modified.
type State struct {
	History

	time  Time     // the last frame's
	reign uint64   // index of the reign's opening frame
	chain [32]byte // over all frames

	totals

	phases           [3]table[*Agent]
	frameworks       table[*Framework]
	quotas           table[*Quota]
	weights          table[*Weight]
	schedules        table[*Schedule]
	machines         table[*Machine]
	providers        table[*Provider]
	removedProviders table[*Provider]
	masters          table[*Master]
	members          table[*Member]

	requests     ring[request]
	requestsLost uint64 // index of the youngest operation forgotten
}

// totals is what operations change besides tables.
type totals struct {
	format uint64
	epoch  uint64
	leap   uint64 // how far the next epoch is ahead of its turn; while it is not 0 no epoch is valid
	seq    uint64 // of the youngest record
	bytes  uint64 // of all records, as encoded
	sum    sum    // over the records that the digest covers
}

// newState returns an empty State.
func newState() *State {
	return &State{
		totals: totals{format: FirstFormat},
		phases: [3]table[*Agent]{
			newTable[*Agent](sectionAdmitted), newTable[*Agent](sectionUnreachable), newTable[*Agent](sectionGone),
		},
		frameworks:       newTable[*Framework](sectionFrameworks),
		quotas:           newTable[*Quota](sectionQuotas),
		weights:          newTable[*Weight](sectionWeights),
		schedules:        newTable[*Schedule](sectionSchedule),
		machines:         newTable[*Machine](sectionMachines),
		providers:        newTable[*Provider](sectionProviders),
		removedProviders: newTable[*Provider](sectionRemovedProviders),
		masters:          newTable[*Master](sectionMaster),
		members:          newTable[*Member](sectionMembers),
	}
}

// freeze returns s as it is now, for readers; last is what freeze returned the time before. What changed in
// between costs a copy of the tree nodes changed, the rest is shared.
func (s *State) freeze(last *State) *State {
	frozen := *s
	for i := range s.phases {
		frozen.phases[i] = s.phases[i].freeze(&last.phases[i])
	}
	frozen.frameworks = s.frameworks.freeze(&last.frameworks)
	frozen.quotas = s.quotas.freeze(&last.quotas)
	frozen.weights = s.weights.freeze(&last.weights)
	frozen.schedules = s.schedules.freeze(&last.schedules)
	frozen.machines = s.machines.freeze(&last.machines)
	frozen.providers = s.providers.freeze(&last.providers)
	frozen.removedProviders = s.removedProviders.freeze(&last.removedProviders)
	frozen.masters = s.masters.freeze(&last.masters)
	frozen.members = s.members.freeze(&last.members)
	return &frozen
}

// Time is the last frame's. It never goes back.
func (s *State) Time() Time { return s.time }

// Reign is the index of the opening frame of the reign that wrote last.
func (s *State) Reign() uint64 { return s.reign }

// Format is the number of the newest form of operations and records that may be written; every member must
// read it.
func (s *State) Format() uint64 { return s.format }

// Epoch is the last master's fencing token, whether or not it has resigned; 0 before the first claim.
func (s *State) Epoch() uint64 { return s.epoch }

// Bytes is the size of all records as encoded. What they take in memory is some two to three times that.
func (s *State) Bytes() uint64 { return s.bytes }

// Master returns who claimed mastership last; none before the first claim, after a resignation, and in a registry that
// was restored.
func (s *State) Master() (*Master, bool) {
	if s.leap != 0 {
		return nil, false
	}
	return s.masters.get(masterKey)
}

// Agent finds one in whatever phase it is.
func (s *State) Agent(id string) (*Agent, bool) {
	for i := range s.phases {
		if agent, ok := s.phases[i].get(id); ok {
			return agent, true
		}
	}
	return nil, false
}

// Agents gives the agents of a phase whose ID is above after, in ID order.
func (s *State) Agents(p Phase, after string) iter.Seq[*Agent] { return s.agents(p).all(after) }

// AgentsBySince gives the agents of a phase whose Seq is above after, in the order in which they came into it.
func (s *State) AgentsBySince(p Phase, after uint64) iter.Seq[*Agent] {
	return s.agents(p).inOrder(after)
}

// AllAgents gives the agents of every phase whose ID is above after, in ID order.
func (s *State) AllAgents(after string) iter.Seq[*Agent] {
	return merge(func(a, b *Agent) bool { return a.ID < b.ID },
		s.Agents(Admitted, after), s.Agents(Unreachable, after), s.Agents(Gone, after))
}

// AllAgentsBySince gives the agents of every phase whose Seq is above after, in the order of their last change
// of phase.
func (s *State) AllAgentsBySince(after uint64) iter.Seq[*Agent] {
	return merge(func(a, b *Agent) bool { return a.Seq < b.Seq },
		s.AgentsBySince(Admitted, after), s.AgentsBySince(Unreachable, after), s.AgentsBySince(Gone, after))
}

// Count is the number of agents in a phase.
func (s *State) Count(p Phase) int { return s.agents(p).records.Len() }

// Framework finds one, completed ones included.
func (s *State) Framework(id string) (*Framework, bool) { return s.frameworks.get(id) }

// Frameworks gives those whose ID is above after, in ID order.
func (s *State) Frameworks(after string) iter.Seq[*Framework] { return s.frameworks.all(after) }

// FrameworksBySince gives all in the order of their last change of state.
func (s *State) FrameworksBySince() iter.Seq[*Framework] { return s.frameworks.inOrder(0) }

// Quotas gives every quota in the order in which their roles first had one.
func (s *State) Quotas() iter.Seq[*Quota] { return s.quotas.inOrder(0) }

// Weights gives every weight in the order in which their roles first had one.
func (s *State) Weights() iter.Seq[*Weight] { return s.weights.inOrder(0) }

// Schedule returns the maintenance schedule; there is none before the first and once its last machine is up.
func (s *State) Schedule() (*Schedule, bool) { return s.schedules.get(scheduleKey) }

// Machine finds one that the schedule names.
func (s *State) Machine(id MachineID) (*Machine, bool) { return s.machines.get(id.key()) }

// Machines gives every machine of the schedule, in the order in which they came into it.
func (s *State) Machines() iter.Seq[*Machine] { return s.machines.inOrder(0) }

// Providers gives the admitted resource providers, or the removed ones, in the order in which they came to be so.
func (s *State) Providers(removed bool) iter.Seq[*Provider] {
	if removed {
		return s.removedProviders.inOrder(0)
	}
	return s.providers.inOrder(0)
}

// Member finds a member's announced addresses.
func (s *State) Member(id string) (*Member, bool) { return s.members.get(id) }

// Members gives every announced member in ID order.
func (s *State) Members() iter.Seq[*Member] { return s.members.all("") }

// MinimumCapabilities names what a Mesos master would have to be capable of to read this registry. It follows
// from the State, and looks at every agent when none of them is deactivated.
func (s *State) MinimumCapabilities() []string {
	var names []string
	for agent := range merge(func(a, b *Agent) bool { return a.ID < b.ID }, s.Agents(Admitted, ""), s.Agents(Unreachable, "")) {
		if agent.Deactivated {
			names = append(names, "AGENT_DRAINING")
			break
		}
	}
	if s.quotas.records.Len() > 0 {
		names = append(names, "QUOTA_V2")
	}
	return names
}

// merge gives the elements of ordered sequences in order.
func merge[T any](less func(a, b T) bool, seqs ...iter.Seq[T]) iter.Seq[T] {
	return func(yield func(T) bool) {
		type head struct {
			value T
			next  func() (T, bool)
		}
		var heads []head
		for _, seq := range seqs {
			next, stop := iter.Pull(seq)
			defer stop()
			if v, ok := next(); ok {
				heads = append(heads, head{v, next})
			}
		}
		for len(heads) > 0 {
			least := 0
			for i := range heads {
				if less(heads[i].value, heads[least].value) {
					least = i
				}
			}
			if !yield(heads[least].value) {
				return
			}
			var ok bool
			if heads[least].value, ok = heads[least].next(); !ok {
				heads = slices.Delete(heads, least, least+1)
			}
		}
	}
}
