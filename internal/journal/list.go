package journal

import (
	"context"

	"github.com/leat-dev/leat"
)

// List returns what there is to say of the streams whose names begin with a prefix and
// sort behind another, by name in byte order. It looks at up to limit streams; next is
// where to go on, empty at the end. Streams that have gone are not in the list, which
// may therefore be shorter than limit although there are more.
func (j *Journal) List(ctx context.Context, prefix, after string, limit int) (list []Meta, next string, err error) {
	infos, err := j.st.Streams(ctx, prefix, after, limit)
	if err != nil {
		return nil, "", err
	}
	for i := range infos {
		if leat.CheckName(infos[i].Name) != nil {
			continue
		}
		m, err := j.Stat(ctx, infos[i].Name, false)
		switch code := leat.CodeOf(err); {
		case err == nil:
			list = append(list, m)
		case code.Status() != 404 && code.Status() != 410:
			return nil, "", err
		}
	}
	if len(infos) == limit {
		next = infos[limit-1].Name
	}
	return list, next, nil
}
