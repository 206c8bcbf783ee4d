package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v4"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/server"
	"github.com/leat-dev/leat/store/memstore"
)

type configCmd struct {
	Check configCheckCmd `cmd:"" help:"Read a configuration file of serve and tell what is wrong with it, line by line."`
}

type configCheckCmd struct {
	File string `arg:"" help:"The file."`
}

// Run says that a file is right, or why it is not. It opens no store and listens nowhere.
func (c *configCheckCmd) Run(std *streams) error {
	var other cli
	other.Serve.settings.noEnv = true
	parser, err := newParser(&other, &streams{in: std.in, out: io.Discard, err: io.Discard})
	if err != nil {
		return err
	}
	if _, err := parser.Parse([]string{"serve", "--config", c.File}); err != nil {
		return configError(err)
	}
	if err := other.Serve.try(); err != nil {
		return err
	}
	_, err = fmt.Fprintf(std.out, "%s is right: %d settings\n", c.File, len(other.Serve.settings.file))
	return err
}

// try finds what is wrong with settings that each are right by themselves, as far as can
// be told with nothing opened: some are for the server to understand.
func (c *serveCmd) try() error {
	if err := c.check(); err != nil {
		return err
	}
	st := memstore.New(memstore.Options{})
	defer st.Close()
	o := c.options(st, slog.New(slog.DiscardHandler))
	o.Subscriptions, o.Metrics = false, nil
	srv, err := server.New(o)
	if err != nil {
		return err
	}
	return srv.Shutdown(context.Background())
}

// configError returns the error of a parser, or those of the file that it tells of.
func configError(err error) error {
	var problems problems
	if errors.As(err, &problems) {
		return problems
	}
	return usageError(err.Error())
}

// problems are all that is wrong with a file.
type problems []error

func (p problems) Error() string   { return errors.Join(p...).Error() }
func (p problems) Unwrap() []error { return p }

// A setting is what a file says about one flag.
type setting struct {
	flag *kong.Flag
	line int
	list []any // of a flag that may be repeated
	text string
}

// value is what the flag is to be set to, as kong takes it.
func (s *setting) value() any {
	if s.list != nil {
		return s.list
	}
	return s.text
}

// A configFile reads settings, and notes what is wrong.
type configFile struct {
	name     string
	flags    map[string]*kong.Flag // by name
	settings map[string]*setting
	problems problems
}

// readConfig reads a file whose keys are the names of flags.
func readConfig(name string, flags map[string]*kong.Flag) (map[string]*setting, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, problems{leat.Errorf(leat.CodeInvalidParameter, "the configuration file cannot be read: %w", err).
			Advise("--config names a file in YAML. It may be left out.")}
	}
	f := &configFile{name: name, flags: flags, settings: make(map[string]*setting)}
	var docs []yaml.Node
	if err := yaml.Load(text, &docs, yaml.WithAllDocuments()); err != nil {
		f.syntax(err)
	}
	switch {
	case len(docs) > 1:
		f.wrong(docs[1].Line, "One document is enough.", "a second document begins here")
	case len(docs) == 1 && len(docs[0].Content) > 0:
		f.mapping(docs[0].Content[0])
	}
	if f.problems != nil {
		return nil, f.problems
	}
	return f.settings, nil
}

// wrong notes what is wrong with a line.
func (f *configFile) wrong(line int, advice, format string, args ...any) {
	at := fmt.Sprintf("%s:%d: ", f.name, line)
	f.problems = append(f.problems, leat.Errorf(leat.CodeInvalidParameter, "%s%s", at, fmt.Sprintf(format, args...)).Advise(advice))
}

// syntax notes an error of the YAML itself.
func (f *configFile) syntax(err error) {
	var at *yaml.LoadError
	if !errors.As(err, &at) {
		f.problems = append(f.problems, leat.Errorf(leat.CodeInvalidParameter, "%s is no YAML: %w", f.name, err))
		return
	}
	advice := "Write NAME: VALUE on a line, with the names of the flags of leat serve."
	if strings.Contains(at.Message, "anchor") || strings.Contains(at.Message, "alphabetic") {
		advice = "A value that begins with * has to stand in quotes."
	}
	f.wrong(at.Mark.Line, advice, "it is no YAML: %s", at.Message)
}

// mapping reads the file's one mapping.
func (f *configFile) mapping(n *yaml.Node) {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return
	}
	if n.Kind != yaml.MappingNode {
		f.wrong(n.Line, "Write NAME: VALUE, with the names of the flags of leat serve.", "there are no settings here")
		return
	}
	for i := 0; i < len(n.Content); i += 2 {
		key, value := n.Content[i], resolved(n.Content[i+1])
		flag := f.flags[key.Value]
		switch before := f.settings[key.Value]; {
		case flag == nil:
			f.wrong(key.Line, "leat serve --help has all settings."+nearest(key.Value, sortedKeys(f.flags)), "there is no setting %q", key.Value)
		case before != nil:
			f.wrong(key.Line, "Keep one of them.", "%s is set in line %d too", key.Value, before.line)
		default:
			f.settings[key.Value] = f.setting(flag, key, value)
		}
	}
}

// setting reads the value of a flag.
func (f *configFile) setting(flag *kong.Flag, key, value *yaml.Node) *setting {
	s := &setting{flag: flag, line: key.Line}
	if !flag.IsSlice() {
		if value.Kind != yaml.ScalarNode || value.Tag == "!!null" {
			f.wrong(key.Line, "Write "+flag.Name+": and the value behind it.", "%s has one value", flag.Name)
			return s
		}
		s.text = value.Value
		f.try(flag, value.Line, s.text)
		return s
	}
	items := []*yaml.Node{value}
	if value.Kind == yaml.ScalarNode && value.Tag == "!!null" {
		items = nil
	}
	if value.Kind == yaml.SequenceNode {
		items = value.Content
	}
	s.list = []any{}
	for _, item := range items {
		if text, ok := f.item(flag, resolved(item)); ok {
			f.try(flag, item.Line, text)
			s.list = append(s.list, text)
		}
	}
	return s
}

// item returns one value of a flag that may be repeated, as on the command line.
func (f *configFile) item(flag *kong.Flag, n *yaml.Node) (text string, ok bool) {
	write := ruleWriters[flag.Name]
	switch {
	case n.Kind == yaml.ScalarNode && n.Tag != "!!null":
		return n.Value, true
	case n.Kind != yaml.MappingNode || write == nil:
		f.wrong(n.Line, "Write each value on a line of its own, after a dash.", "%s has texts", flag.Name)
		return "", false
	}
	fields := make(map[string]string)
	for i := 0; i < len(n.Content); i += 2 {
		name, value := n.Content[i], resolved(n.Content[i+1])
		switch {
		case !slices.Contains(ruleFields[flag.Name], name.Value):
			f.wrong(name.Line, "It has "+strings.Join(ruleFields[flag.Name], ", ")+"."+nearest(name.Value, ruleFields[flag.Name]), "a rule of %s has no %q", flag.Name, name.Value)
			return "", false
		case value.Kind == yaml.SequenceNode:
			var all []string
			for _, v := range value.Content {
				all = append(all, resolved(v).Value)
			}
			fields[name.Value] = strings.Join(all, ",")
		default:
			fields[name.Value] = value.Value
		}
	}
	if fields["pattern"] == "" {
		f.wrong(n.Line, "It says which streams the rule is for, such as logs/**.", "a rule of %s has no pattern", flag.Name)
		return "", false
	}
	text, why := write(fields)
	if why != "" {
		f.wrong(n.Line, "", "%s", why)
	}
	return text, why == ""
}

// ruleFields are what the rules of a flag have in a file.
var ruleFields = map[string][]string{
	"retain": {"pattern", "records", "bytes", "age"},
	"slow":   {"pattern", "skip", "disconnect", "never"},
}

// ruleWriters write a rule as it is on the command line, or say why it is none.
var ruleWriters = map[string]func(fields map[string]string) (text, why string){
	"retain": func(fields map[string]string) (string, string) {
		var bounds []string
		for _, name := range ruleFields["retain"][1:] {
			if value, ok := fields[name]; ok {
				bounds = append(bounds, name+":"+value)
			}
		}
		if bounds == nil {
			return "", "a rule of retain has no bound: records, bytes or age"
		}
		return fields["pattern"] + "=" + strings.Join(bounds, ","), ""
	},
	"slow": func(fields map[string]string) (string, string) {
		if len(fields) != 2 {
			return "", "a rule of slow has one of skip, disconnect and never"
		}
		if never, ok := fields["never"]; ok {
			if never != "true" {
				return "", "never is true, or left out"
			}
			return fields["pattern"] + "=never", ""
		}
		for _, what := range []string{"skip", "disconnect"} {
			if lag, ok := fields[what]; ok {
				return fields["pattern"] + "=" + what + ":" + lag, ""
			}
		}
		panic("a field that is not looked for")
	},
}

// try notes what is wrong with a value of a flag.
func (f *configFile) try(flag *kong.Flag, line int, text string) {
	if err := tryFlag(flag, text); err != nil {
		f.wrong(line, "", "%s: %v", flag.Name, err)
	}
}

// tryFlag returns what is wrong with a value of a flag.
func tryFlag(flag *kong.Flag, text string) error {
	target := reflect.New(flag.Target.Type()).Elem()
	if target.Kind() == reflect.Pointer {
		target.Set(reflect.New(target.Type().Elem()))
	}
	if err := flag.Value.Parse(kong.Scan().PushTyped(text, kong.FlagValueToken), target); err != nil {
		return errors.New(strings.TrimPrefix(err.Error(), "--"+flag.Name+": "))
	}
	if text == hidden {
		return errors.New("it was hidden when it was printed; write it out")
	}
	if enum := flag.EnumSlice(); flag.Enum != "" && !slices.Contains(enum, text) {
		return fmt.Errorf("%q is not one of %s", text, strings.Join(enum, ", "))
	}
	return nil
}

// resolved returns what an alias stands for.
func resolved(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

// nearest returns a sentence with the word that was probably meant, if there is one.
func nearest(word string, words []string) string {
	best, least := "", len(word)/2+1
	for _, w := range words {
		if d := distance(word, w); d < least {
			best, least = w, d
		}
	}
	if best == "" {
		return ""
	}
	return " Perhaps " + best + " is meant."
}

// distance is how many bytes have to be changed, put in or taken out to make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0] // of the row above, to the left
		row[0] = i + 1
		for j := range len(b) {
			above := row[j+1]
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(before+cost, above+1, row[j]+1)
			before = above
		}
	}
	return row[len(b)]
}
