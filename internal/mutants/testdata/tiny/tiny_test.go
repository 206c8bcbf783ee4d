package tiny

import "testing"

func TestMax(t *testing.T) {
	for _, test := range []struct{ a, b, want int }{{1, 2, 2}, {2, 1, 2}, {11, 0, 10}} {
		if got := Max(test.a, test.b); got != test.want {
			t.Errorf("Max(%d, %d) = %d, want %d", test.a, test.b, got, test.want)
		}
	}
}

func TestWeak(t *testing.T) {
	if Max(1, 1) != 1 {
		t.Error("Max(1, 1) is not 1")
	}
}

func TestSkipped(t *testing.T) { t.Skip("always") }

func TestRed(t *testing.T) { t.Error("always") }
