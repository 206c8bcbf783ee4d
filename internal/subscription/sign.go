package subscription

import (
	"context"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
)

// Where the store keeps the key: in the state of a stream that has a reserved name, so
// that no request can name it, and no record, so that no reader sees it.
const (
	keyStream = reserved + "key"
	keySeed   = "ed25519"
)

// A signer has the key that webhooks are signed with.
type signer struct {
	key    ed25519.PrivateKey
	kid    string
	jwks   []byte
	tokens []byte // the key of tokens
}

// loadSigner returns the store's, and makes it if there is none.
func loadSigner(ctx context.Context, st store.Store) (*signer, error) {
	for range maxTries {
		info, err := st.Stream(ctx, keyStream, keySeed)
		if err != nil {
			return nil, err
		}
		if seed := info.State[keySeed]; len(seed) == ed25519.SeedSize {
			return newSigner(seed)
		}
		seed := make([]byte, ed25519.SeedSize)
		_, _ = rand.Read(seed) // never fails
		_, err = commit(ctx, st, store.Tx{Stream: keyStream, Version: info.Version, ContentType: stateType,
			State: []store.Entry{{Key: keySeed, Value: seed}}})
		switch {
		case err == nil:
			return newSigner(seed)
		case !errors.Is(err, store.ErrConflict):
			return nil, err
		}
	}
	return nil, store.ErrConflict
}

// newSigner returns a signer. The name of the key is made of its thumbprint (RFC 7638).
func newSigner(seed []byte) (*signer, error) {
	key := ed25519.NewKeyFromSeed(seed)
	public := key.Public().(ed25519.PublicKey)
	x := base64.RawURLEncoding.EncodeToString(public)
	thumbprint := sha256.Sum256([]byte(`{"crv":"Ed25519","kty":"OKP","x":"` + x + `"}`))
	s := &signer{key: key, kid: "ds_" + base64.RawURLEncoding.EncodeToString(thumbprint[:]), tokens: mac(seed, []byte("leat callback tokens"))}
	jwk := map[string]string{"kty": "OKP", "crv": "Ed25519", "x": x, "kid": s.kid, "use": "sig", "alg": "EdDSA"}
	var err error
	s.jwks, err = json.Marshal(map[string]any{"keys": []any{jwk}})
	return s, err
}

// sign returns the Webhook-Signature of a body.
func (s *signer) sign(body []byte, now time.Time) string {
	t := now.Unix()
	signature := ed25519.Sign(s.key, fmt.Appendf(nil, "%d.%s", t, body))
	return fmt.Sprintf("t=%d,kid=%s,ed25519=%s", t, s.kid, base64.RawURLEncoding.EncodeToString(signature))
}

func mac(key, text []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(text)
	return h.Sum(nil)
}

// claims are what a token is about: a generation of a subscription, which has an ID of
// its own each time it is made, until a time.
const claimsLen = 16

func (s *signer) proof(made uint64, claims []byte) []byte {
	return mac(s.tokens, binary.BigEndian.AppendUint64(claims[:claimsLen:claimsLen], made))
}

// token returns one for the generation of the subscription that was made at a sequence.
func (s *signer) token(made, generation uint64, now time.Time) string {
	claims := binary.BigEndian.AppendUint64(nil, generation)
	claims = binary.BigEndian.AppendUint64(claims, uint64(now.Add(TokenLifetime).Unix()))
	return base64.RawURLEncoding.EncodeToString(append(claims, s.proof(made, claims)...))
}

// generation returns what a token is for.
func (s *signer) generation(made uint64, token string, now time.Time) (uint64, error) {
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(b) != claimsLen+sha256.Size || !hmac.Equal(b[claimsLen:], s.proof(made, b[:claimsLen])) {
		return 0, leat.Errorf(leat.CodeTokenInvalid, "this is no token of the subscription").
			Advise("Send the one that came with the wake, as Authorization: Bearer TOKEN.")
	}
	if now.Unix() >= int64(binary.BigEndian.Uint64(b[8:])) {
		return 0, leat.Errorf(leat.CodeTokenExpired, "the token has expired").Advise("Take up the next wake.")
	}
	return binary.BigEndian.Uint64(b), nil
}
