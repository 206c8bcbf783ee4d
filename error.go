package leat

import (
	"errors"
	"fmt"
)

// An Error is the one kind of error that Leat's packages give to their
// callers and that its HTTP interface sends as a problem document (RFC 9457).
type Error struct {
	// Code says what went wrong. It is stable and meant for programs.
	Code Code

	// Detail says what was wrong this time, for people.
	Detail string

	// Advice says what the caller can do about it. It may be empty.
	Advice string

	// Fields are further members of the problem document, such as the line
	// of a body that was wrong. It may be nil.
	Fields map[string]any

	// Cause is the error behind this one. It may be nil, and it is never
	// sent to a client.
	Cause error
}

// Errorf returns an Error with a code and a formatted detail. The verb %w
// sets the cause as in [fmt.Errorf].
func Errorf(code Code, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Code: code, Detail: err.Error(), Cause: errors.Unwrap(err)}
}

// Advise sets what the caller can do and returns e.
func (e *Error) Advise(advice string) *Error {
	e.Advice = advice
	return e
}

// With sets a member of the problem document and returns e.
func (e *Error) With(name string, value any) *Error {
	if e.Fields == nil {
		e.Fields = make(map[string]any)
	}
	e.Fields[name] = value
	return e
}

// Error returns the detail and the advice.
func (e *Error) Error() string {
	if e.Advice == "" {
		return e.Detail
	}
	return e.Detail + ". " + e.Advice
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Is reports whether target is an *Error with the same code, so that
// errors.Is(err, &leat.Error{Code: leat.CodeStoreFull}) works.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}

// AsError returns err as an *Error. An error of another kind becomes one with
// code [CodeInternal]; nil stays nil.
func AsError(err error) *Error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Code: CodeInternal, Detail: "the server could not finish the request", Cause: err}
}

// CodeOf returns the code of err, [CodeInternal] for an error that is not an
// *Error, and "" for nil.
func CodeOf(err error) Code {
	if e := AsError(err); e != nil {
		return e.Code
	}
	return ""
}

// A Code names what went wrong. The text is sent to clients and never
// changes.
type Code string

// The codes. The status that each is sent with is returned by [Code.Status].
const (
	CodeInvalidName       Code = "invalid_name"           // a stream name breaks the rules of CheckName
	CodeInvalidPattern    Code = "invalid_pattern"        // a pattern breaks the rules of ParsePattern
	CodeInvalidOffset     Code = "invalid_offset"         // not an offset
	CodeInvalidParameter  Code = "invalid_parameter"      // a query parameter or header that is not understood
	CodeInvalidBody       Code = "invalid_body"           // a body that is not what its content type says
	CodeInvalidType       Code = "invalid_type"           // an event type with forbidden characters, too long, or reserved
	CodeInvalidKey        Code = "invalid_key"            // a key with forbidden characters or too long
	CodeNoTopic           Code = "no_topic"               // nothing says which topic is meant
	CodeTooManyTopics     Code = "too_many_topics"        // more topics than one request may name
	CodeCrossOrigin       Code = "cross_origin"           // a browser on a foreign origin may not do this
	CodeNotFound          Code = "not_found"              // no such resource
	CodeMethodNotAllowed  Code = "method_not_allowed"     // the resource has no such method
	CodeNotAcceptable     Code = "not_acceptable"         // none of the forms that Accept names can be served
	CodeBodyTimeout       Code = "body_timeout"           // the body arrived too slowly
	CodeTypeMismatch      Code = "content_type_mismatch"  // the stream holds another content type
	CodeStaleEpoch        Code = "stale_epoch"            // a producer that another one of its name has taken the place of
	CodeSequenceGap       Code = "sequence_gap"           // requests of the producer that stand in front are missing
	CodeOutOfOrder        Code = "out_of_order"           // a Stream-Seq that is not greater than the last
	CodePrecondition      Code = "precondition_failed"    // the stream is not in the state that the request is for
	CodeConflict          Code = "conflict"               // others changed the stream again and again meanwhile
	CodeEnded             Code = "ended"                  // the stream has ended: nothing is appended any more
	CodeExists            Code = "exists"                 // the stream exists, and is not as it was asked for
	CodeGone              Code = "gone"                   // the stream was deleted, and is kept for its forks alone
	CodeGap               Code = "gap"                    // records that the reader was owed are gone
	CodeRange             Code = "range"                  // the stream does not have the bytes that are asked for
	CodeTooLarge          Code = "too_large"              // a record or body over its limit
	CodeMediaType         Code = "unsupported_media_type" // a content type that this resource does not take
	CodeMisdirected       Code = "misdirected_host"       // the Host is not one that this server serves
	CodeNotSupported      Code = "not_supported"          // the store of this server cannot do that
	CodeInternal          Code = "internal"               // a fault of the server's
	CodeUnavailable       Code = "unavailable"            // the server is starting, stopping or overloaded: try again
	CodeOverloaded        Code = "overloaded"             // more waits to be stored than may: try again
	CodeTooManyProducers  Code = "too_many_producers"     // the stream remembers as many producers as it may
	CodeWebhookURL        Code = "webhook_url_rejected"   // a URL that webhooks are not sent to
	CodeUnauthorized      Code = "unauthorized"           // this is for who runs the server
	CodeTokenInvalid      Code = "token_invalid"          // no token of the subscription
	CodeTokenExpired      Code = "token_expired"          // a token whose time is over
	CodeFenced            Code = "fenced"                 // a worker whose wake is over
	CodeClaimed           Code = "already_claimed"        // another worker has the wake
	CodeNoWork            Code = "no_pending_work"        // the subscription has nothing to do
	CodeSubscriptionLimit Code = "subscription_limit"     // as many subscriptions, or streams of one, as may be
	CodeStoreFailed       Code = "store_failed"           // the store takes no more writes until it is opened again
	CodeStoreFull         Code = "store_full"             // no room left
)

var statuses = map[Code]int{
	CodeInvalidName:       400,
	CodeInvalidPattern:    400,
	CodeInvalidOffset:     400,
	CodeInvalidParameter:  400,
	CodeInvalidBody:       400,
	CodeInvalidType:       400,
	CodeInvalidKey:        400,
	CodeNoTopic:           400,
	CodeTooManyTopics:     400,
	CodeCrossOrigin:       403,
	CodeNotFound:          404,
	CodeMethodNotAllowed:  405,
	CodeNotAcceptable:     406,
	CodeBodyTimeout:       408,
	CodeTypeMismatch:      409,
	CodeStaleEpoch:        403,
	CodeSequenceGap:       409,
	CodeOutOfOrder:        409,
	CodePrecondition:      412,
	CodeConflict:          409,
	CodeEnded:             409,
	CodeExists:            409,
	CodeGone:              410,
	CodeGap:               410,
	CodeRange:             416,
	CodeTooLarge:          413,
	CodeMediaType:         415,
	CodeMisdirected:       421,
	CodeNotSupported:      501,
	CodeInternal:          500,
	CodeUnavailable:       503,
	CodeOverloaded:        429,
	CodeTooManyProducers:  429,
	CodeWebhookURL:        400,
	CodeUnauthorized:      403,
	CodeTokenInvalid:      401,
	CodeTokenExpired:      401,
	CodeFenced:            409,
	CodeClaimed:           409,
	CodeNoWork:            409,
	CodeSubscriptionLimit: 429,
	CodeStoreFailed:       503,
	CodeStoreFull:         507,
}

// Status returns the HTTP status that c is sent with, 500 for an unknown
// code.
func (c Code) Status() int {
	if s, ok := statuses[c]; ok {
		return s
	}
	return 500
}
