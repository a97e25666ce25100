// Package grammar is what the command line takes: commands, flags, arguments and their
// values, as the parser's model has them. Help, completion, the manual and "did you mean"
// are made of it, so that a new command is in all of them.
//
//	g := grammar.Of(parser.Model)
//	g.Find("events", "list").Flag("outcome").Choices // applied, stale, ignored, rejected
package grammar

import (
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// Command is the program, or one of its commands that a person may see.
type Command struct {
	Name string
	// Usage is how it is called with what it takes, as in "clerksync events list [flags]".
	Usage string
	// Help is one line, and Text what the command says besides, in the form of Go's doc
	// comments.
	Help, Text string
	Parent     *Command
	Commands   []*Command
	// Default is the command that is meant where none of Commands is named, nil without.
	Default *Command
	// Flags are its own, without those of its parents.
	Flags     []Value
	Arguments []Value
}

// Kind is what a value names.
type Kind int

// Kinds.
const (
	Any Kind = iota
	File
	Folder
)

// Value is a flag, or an argument.
type Value struct {
	// Usage is how it is written, as in "--limit=N" or "<table> ...".
	Name, Help, Placeholder, Usage string
	// Short is the letter of a flag, 0 without.
	Short rune
	// Switch: it takes no value.
	Switch bool
	// Choices are all that it takes, if they are few.
	Choices  []string
	Kind     Kind
	Default  string
	Required bool
	Many     bool
}

// Chooser is a type of flags and arguments that takes one of a few words.
type Chooser interface{ Choices() []string }

// Of reads the model of a parser.
func Of(model *kong.Application) *Command {
	return read(model.Node, nil)
}

func read(node *kong.Node, parent *Command) *Command {
	c := &Command{Name: node.Name, Help: node.Help, Text: node.Detail, Parent: parent}
	c.Usage = c.root().Name + " " + strings.TrimSpace(node.Summary())
	for _, f := range node.Flags {
		if !f.Hidden {
			c.Flags = append(c.Flags, value(f.Value))
		}
	}
	for _, p := range node.Positional {
		c.Arguments = append(c.Arguments, value(p))
	}
	for _, child := range node.Children {
		if child.Hidden || child.Type != kong.CommandNode {
			continue
		}
		below := read(child, c)
		c.Commands = append(c.Commands, below)
		if child == node.DefaultCmd && child.Tag.Default == "withargs" {
			c.Default = below
		}
	}
	return c
}

func value(v *kong.Value) Value {
	read := Value{Name: v.Name, Help: Help(v), Usage: v.Summary(), Choices: choices(v), Default: v.Default, Required: v.Required, Many: v.IsCumulative()}
	if v.Flag == nil {
		return read
	}
	read.Short, read.Switch = v.Flag.Short, v.IsBool() || v.IsCounter()
	if read.Switch {
		return read
	}
	read.Placeholder = v.Flag.FormatPlaceHolder()
	switch {
	case strings.HasPrefix(read.Placeholder, "FILE"):
		read.Kind = File
	case strings.HasPrefix(read.Placeholder, "DIR"):
		read.Kind = Folder
	}
	return read
}

// choices are those of the tag enum, or of the type.
func choices(v *kong.Value) []string {
	if v.Enum != "" {
		var some []string
		for _, choice := range v.EnumSlice() {
			if choice != "" {
				some = append(some, choice)
			}
		}
		return some
	}
	one := v.Target.Type()
	for one.Kind() == reflect.Pointer || one.Kind() == reflect.Slice && one.Name() == "" {
		one = one.Elem()
	}
	if chooser, ok := reflect.TypeAssert[Chooser](reflect.New(one)); ok {
		return chooser.Choices()
	}
	return nil
}

// Help is what the help says of a value: with what it takes, and what holds without it.
func Help(v *kong.Value) string {
	text := v.Help
	unnamed := slices.ContainsFunc(choices(v), func(choice string) bool { return !strings.Contains(text+" "+placeholder(v), choice) })
	if unnamed {
		text = strings.TrimSuffix(text, ".") + ": " + strings.Join(choices(v), ", ") + "."
	}
	if v.Default != "" && !strings.Contains(text, "(default:") {
		text = strings.TrimSuffix(text, ".") + " (default: " + v.Default + ")."
	}
	return text
}

func placeholder(v *kong.Value) string {
	if v.Flag == nil {
		return ""
	}
	return v.Flag.PlaceHolder
}

// root is the program.
func (c *Command) root() *Command {
	if c.Parent == nil {
		return c
	}
	return c.Parent.root()
}

// Path are the names of a command from the first below the program.
func (c *Command) Path() []string {
	if c.Parent == nil {
		return nil
	}
	return append(c.Parent.Path(), c.Name)
}

// String is how the command is called, as in "clerksync events list".
func (c *Command) String() string {
	if c.Parent == nil {
		return c.Name
	}
	return c.Parent.String() + " " + c.Name
}

// All are the command and everything below it, in the order of the help.
func (c *Command) All() []*Command {
	all := []*Command{c}
	for _, below := range c.Commands {
		all = append(all, below.All()...)
	}
	return all
}

// Taken are the flags that the command takes: those of its parents first.
func (c *Command) Taken() []Value {
	if c.Parent == nil {
		return c.Flags
	}
	return append(append([]Value{}, c.Parent.Taken()...), c.Flags...)
}

// Called are the flags that may stand behind the command's name: its own, its parents',
// and those of the command that is meant where none is named.
func (c *Command) Called() []Value {
	if c.Default == nil {
		return c.Taken()
	}
	return c.Default.Called()
}

// command is the one of a name below c, nil without.
func (c *Command) command(name string) *Command {
	for _, below := range c.Commands {
		if below.Name == name {
			return below
		}
	}
	return nil
}

// flag is the one that is called --name behind c, nil without.
func (c *Command) flag(name string) *Value {
	for _, f := range c.Called() {
		if f.Name == name {
			return &f
		}
	}
	return nil
}
