package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"clerksync/cmd/clerksync/internal/clitest"
	"clerksync/cmd/clerksync/internal/commandline"
	"clerksync/cmd/clerksync/internal/grammar"
)

// swapped is a word with two letters in the middle in the wrong order, and otherwise
// without the last one.
func swapped(word string) string {
	for i := len(word) / 2; i > 0; i-- {
		if word[i] != word[i-1] {
			return word[:i-1] + word[i:i+1] + word[i-1:i] + word[i+1:]
		}
	}
	return word[:len(word)-1]
}

// What is nearly a command, a flag or one of a few words leads to it, for everything that
// the program has.
func TestDidYouMean_KnowsEveryCommandFlagAndChoice(t *testing.T) {
	t.Parallel()
	asked := 0
	for _, command := range clitest.Grammar[program](t).All() {
		path := command.Path()
		meant := func(want string, words ...string) {
			asked++
			line := append(slices.Clone(path), words...)
			got := clerksync(t, nil, line...)
			if got.Code != commandline.ExitUsage || got.Stdout != "" || !strings.Contains(got.Stderr, "clerksync: hint: did you mean "+fmt.Sprintf("%q?", want)) {
				t.Errorf("clerksync %q: exit %d\n%s\nwant to be asked for %q", line, got.Code, got.Stderr, want)
			}
		}
		for _, below := range command.Commands {
			if len(below.Name) > 3 && command.Default == nil {
				meant(below.String(), swapped(below.Name))
			}
		}
		var names []string
		for _, f := range command.Called() {
			names = append(names, f.Name)
		}
		for _, f := range command.Called() {
			if typo := swapped(f.Name); len(f.Name) > 3 && !slices.Contains(names, typo) {
				meant("--"+f.Name, "--"+typo)
			}
			for _, choice := range f.Choices {
				if len(choice) > 3 {
					meant("--"+f.Name+" "+choice, "--"+f.Name, swapped(choice))
					meant("--"+f.Name+" "+choice, "--"+f.Name+"="+swapped(choice))
				}
			}
		}
		for _, a := range command.Arguments {
			for _, choice := range a.Choices {
				meant(command.String()+" "+choice, swapped(choice))
			}
		}
	}
	if asked < 200 {
		t.Errorf("%d slips were made, too few for the whole program", asked)
	}
}

func TestDidYouMean_LooksWhereItIsMeant(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ line, want string }{
		{"mirgate", "clerksync migrate"},
		{"statsu", "clerksync status"},
		{"sync", "clerksync sync-users"},
		{"sync_users", "clerksync sync-users"},
		{"Events list", "clerksync events"},
		// It is a command further down.
		{"lint", "clerksync configure-rls lint"},
		{"replay --all", "clerksync events replay"},
		// A table may have any name, but this one was none.
		{"configure-rls lnt", "clerksync configure-rls lint"},
		{"configure-rls notes --pattern ownr", "--pattern owner"},
		{"events list --outcome Rejected", "--outcome rejected"},
		{"--json events list --outcome appled", "--outcome applied"},
		{"events --env-fiel x list", "--env-file"},
		// Nothing is near, or two are as near.
		{"restore", ""},
		{"status --shout", ""},
		{"dev --postgres 16", ""},
		{"events list --outcome x", ""},
	} {
		got := clerksync(t, nil, strings.Fields(test.line)...)
		_, after, meant := strings.Cut(got.Stderr, "did you mean \"")
		suggested, _, _ := strings.Cut(after, "\"")
		if got.Code != commandline.ExitUsage || suggested != test.want || meant != (test.want != "") || strings.Count(got.Stderr, "did you mean") > 1 {
			t.Errorf("%s: exit %d\n%s\nwant %q", test.line, got.Code, got.Stderr, test.want)
		}
	}
}

// What is suggested is made of the program's own words, whatever was typed.
func TestDidYouMean_RepeatsNothing(t *testing.T) {
	t.Parallel()
	g := clitest.Grammar[program](t)
	var own []string
	for _, command := range g.All() {
		own = append(own, command.String())
		for _, f := range command.Taken() {
			own = append(own, "--"+f.Name)
			for _, choice := range f.Choices {
				own = append(own, "--"+f.Name+" "+choice)
			}
		}
		for _, a := range command.Arguments {
			for _, choice := range a.Choices {
				own = append(own, command.String()+" "+choice)
			}
		}
	}
	for _, args := range meddled(g) {
		if near := g.Nearest(args); near != "" && !slices.Contains(own, near) {
			t.Errorf("%q: %q is not the program's", args, near)
		}
	}
}

// meddled are command lines with what may be a secret at every place.
func meddled(g *grammar.Command) [][]string {
	var lines [][]string
	for _, command := range g.All() {
		for _, secret := range []string{"Zk3Vq9Xw2Lr7TbN5", "evnts1", "statuS9", "list,Zk3Vq9", strings.Repeat("events", 20)} {
			path := command.Path()
			lines = append(lines, append(path, secret), append(path, "--"+secret), append(path, "--"+secret+"="+secret), append(path, "--", secret))
			for _, f := range command.Called() {
				lines = append(lines, append(path, "--"+f.Name, secret), append(path, "--"+f.Name+"="+secret))
			}
		}
	}
	return lines
}
