package journal

// Glance returns what is remembered of a stream that is open, and whether anything
// is: its Name, ContentType, Kind and Last. It reads nothing, so it is for whoever
// is about to append and has to know how a body is to be read. The stream may have
// become another one since: what is appended is held against that again, and who
// would refuse something because of this asks Stat.
func (j *Journal) Glance(name string) (Meta, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	s := j.streams[name]
	if s == nil || !s.known || !j.alone {
		return Meta{}, false
	}
	v := view{state: s.state, gen: s.gen}
	if !v.exists() || v.over != "" || v.mortal() && v.lives.over(j.now()) {
		return Meta{}, false
	}
	m := Meta{Name: name, ContentType: v.typ.text, Kind: v.typ.kind}
	if v.last > 0 {
		m.Last = j.st.Epochs().Offset(v.last)
	}
	return m, true
}
