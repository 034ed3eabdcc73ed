package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"

	"github.com/registrard/registrard/fsm"
)

// readFleet reads the whole file before anything is proposed: an unreadable row changes nothing.
func readFleet(name string) ([]fsm.AgentObject, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	rows := csv.NewReader(file)
	rows.ReuseRecord = true
	header, err := rows.Read()
	if err != nil {
		return nil, fmt.Errorf("%s: no header: %w", name, err)
	}
	columns := map[string]int{}
	for _, column := range []string{"node_name", "cpu_num", "gpu_capacity_num", "gpu_model"} {
		if columns[column] = slices.Index(header, column); columns[column] < 0 {
			return nil, fmt.Errorf("%s: there is no column %s", name, column)
		}
	}
	var agents []fsm.AgentObject
	lineOf := map[string]int{}
	for {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			return agents, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err) // says the line
		}
		line, _ := rows.FieldPos(0)
		agent, err := fleetAgent(row, columns)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, line, err)
		}
		if first, twice := lineOf[agent.ID]; twice {
			return nil, fmt.Errorf("%s:%d: node %q is on line %d already", name, line, agent.ID, first)
		}
		lineOf[agent.ID] = line
		agents = append(agents, agent)
	}
}

func fleetAgent(row []string, columns map[string]int) (fsm.AgentObject, error) {
	info := fsm.AgentInfo{ID: row[columns["node_name"]], Hostname: row[columns["node_name"]]}
	for _, resource := range []struct{ name, column string }{{"cpus", "cpu_num"}, {"gpus", "gpu_capacity_num"}} {
		value, err := strconv.ParseFloat(row[columns[resource.column]], 64)
		if err != nil {
			return fsm.AgentObject{}, fmt.Errorf("%s %q is not a number", resource.column, row[columns[resource.column]])
		}
		info.Resources = append(info.Resources, fsm.Resource{Name: resource.name, Scalar: &fsm.Scalar{Value: value}})
	}
	if model := row[columns["gpu_model"]]; model != "" {
		info.Attributes = []fsm.Attribute{{Name: "gpu_model", Text: &fsm.Text{Value: model}}}
	}
	return info.Object()
}
