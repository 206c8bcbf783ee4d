package main

import (
	"fmt"
	"io"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v4"

	"github.com/leat-dev/leat"
)

// settings are where the flags of serve come from that are not on the command line: the
// environment, then the file, then the defaults.
type settings struct {
	noEnv bool // the environment is left out
	flags []*kong.Flag
	file  map[string]*setting // by the name of the flag
	name  string              // of the file
	from  map[string]string   // where a flag has its value from; not there: from its default
	odd   []string            // what is strange about the environment, and no error
}

// notSettings are flags that say what is to be done, not how to serve.
var notSettings = []string{"help", "config", "print-config"}

// hidden stands for what is printed nowhere; a file that has it is refused.
const hidden = "(hidden)"

// envName is the variable that stands for a flag of serve.
func envName(flag string) string {
	return "LEAT_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// BeforeResolve has kong ask the settings for what is not on the command line.
func (c *serveCmd) BeforeResolve(ctx *kong.Context) error {
	s := &c.settings
	s.from = make(map[string]string)
	known := make(map[string]*kong.Flag)
	for _, flag := range ctx.Selected().Flags {
		if flag.Name == "config" {
			s.name, _ = ctx.FlagValue(flag).(string)
		}
		if !slices.Contains(notSettings, flag.Name) {
			s.flags = append(s.flags, flag)
			known[flag.Name] = flag
		}
	}
	if name, ok := os.LookupEnv(envName("config")); ok && s.name == "" && !s.noEnv {
		s.name = name
	}
	if !s.noEnv {
		s.lookAround(known)
	}
	for _, path := range ctx.Path {
		if path.Flag != nil {
			s.from[path.Flag.Name] = "flag"
		}
	}
	if s.name != "" {
		var err error
		if s.file, err = readConfig(s.name, known); err != nil {
			return err
		}
	}
	ctx.AddResolver(s)
	return nil
}

// lookAround notes variables that are nearly the name of a flag. What is only a bit like
// one may be another program's.
func (s *settings) lookAround(flags map[string]*kong.Flag) {
	right := []string{"LEAT_SERVER", envName("config")}
	for _, flag := range sortedKeys(flags) {
		right = append(right, envName(flag))
	}
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		if !strings.HasPrefix(name, "LEAT_") || slices.Contains(right, name) {
			continue
		}
		if i := slices.IndexFunc(right, func(r string) bool { return distance(name, r) <= 2 }); i >= 0 {
			s.odd = append(s.odd, fmt.Sprintf("WARNING: %s is set, and there is no such setting; %s is one", name, right[i]))
		}
	}
}

// Resolve implements kong.Resolver.
func (s *settings) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	if !slices.Contains(s.flags, flag) {
		return nil, nil
	}
	env := envName(flag.Name)
	if text, ok := os.LookupEnv(env); ok && !s.noEnv {
		values := []string{text}
		if flag.IsSlice() {
			values = strings.FieldsFunc(text, func(r rune) bool { return r == '\n' })
		}
		list := []any{}
		for _, value := range values {
			if err := tryFlag(flag, value); err != nil {
				return nil, problems{leat.Errorf(leat.CodeInvalidParameter, "%s: %w", env, err)}
			}
			list = append(list, value)
		}
		s.from[flag.Name] = env
		if flag.IsSlice() {
			return list, nil
		}
		return text, nil
	}
	set := s.file[flag.Name]
	if set == nil {
		return nil, nil
	}
	s.from[flag.Name] = fmt.Sprintf("%s:%d", s.name, set.line)
	return set.value(), nil
}

// Validate implements kong.Resolver.
func (*settings) Validate(*kong.Application) error { return nil }

// print writes what is in force as a configuration file, with where it is from.
func (s *settings) print(out io.Writer) error {
	doc, group := &yaml.Node{Kind: yaml.MappingNode}, ""
	for _, flag := range s.flags {
		from := s.from[flag.Name]
		if from == "" {
			from = "default"
		}
		key := &yaml.Node{Kind: yaml.ScalarNode, Value: flag.Name}
		value, ok := valueNode(flag.Target)
		switch {
		case !ok: // it has no value
			continue
		case flag.Name == "api-token" && value.Value != "":
			value = scalar(hidden)
			value.LineComment = from
		case value.Kind == yaml.SequenceNode && len(value.Content) > 0:
			key.LineComment = from
		default:
			value.LineComment = from
		}
		if g := flag.Group; g != nil && g.Key != group {
			group = g.Key
			key.HeadComment = group
		}
		doc.Content = append(doc.Content, key, value)
	}
	text, err := yaml.Dump(doc)
	if err != nil {
		return err
	}
	_, err = out.Write(text)
	return err
}

// valueNode writes a value as it is read from a file. It is not ok if there is none.
func valueNode(v reflect.Value) (n *yaml.Node, ok bool) {
	switch value := v.Interface().(type) {
	case time.Duration:
		return scalar(age(value).String()), true
	case retentionRule:
		r, fields := value.Retention, []string{"pattern", value.Pattern}
		if r.Records > 0 {
			fields = append(fields, "records", fmt.Sprint(r.Records))
		}
		if r.Bytes > 0 {
			fields = append(fields, "bytes", byteSize(r.Bytes).String())
		}
		if r.Age > 0 {
			fields = append(fields, "age", age(r.Age).String())
		}
		return fieldsNode(fields), true
	case slowRule:
		return fieldsNode(append([]string{"pattern", value.Pattern}, value.what()...)), true
	case fmt.Stringer:
		if v.Kind() == reflect.Pointer && v.IsNil() {
			return nil, false
		}
		return scalar(value.String()), true
	}
	switch v.Kind() {
	case reflect.Slice:
		n := &yaml.Node{Kind: yaml.SequenceNode}
		if v.Len() == 0 {
			n.Style = yaml.FlowStyle
		}
		for i := range v.Len() {
			item, _ := valueNode(v.Index(i))
			n.Content = append(n.Content, item)
		}
		return n, true
	case reflect.String:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: v.String()}, true
	}
	return scalar(fmt.Sprint(v.Interface())), true
}

func scalar(text string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Value: text} }

// fieldsNode is a mapping of names and values in turn, the first of which is a text.
func fieldsNode(fields []string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode}
	for _, text := range fields {
		n.Content = append(n.Content, scalar(text))
	}
	n.Content[1].Tag = "!!str"
	return n
}

// what is a rule without its pattern, as a file has it.
func (r slowRule) what() []string {
	var lag []string
	if r.Records > 0 {
		lag = append(lag, fmt.Sprint(r.Records))
	}
	if r.Bytes > 0 {
		lag = append(lag, byteSize(r.Bytes).String())
	}
	switch {
	case lag == nil:
		return []string{"never", "true"}
	case r.Skip:
		return []string{"skip", strings.Join(lag, ",")}
	}
	return []string{"disconnect", strings.Join(lag, ",")}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
