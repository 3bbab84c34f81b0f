package transform

import (
	"errors"
	"math"
	"math/big"
	"testing"
)

func TestWholeNumbersAreExactOrAnError(t *testing.T) {
	edges := []int{math.MinInt, math.MinInt + 1, -1 << 62, -3037000500, -2, -1, 0, 1, 2, 3037000499, 3037000500, 1 << 62, math.MaxInt - 1, math.MaxInt}
	for name, op := range map[string]struct {
		ours  func(a, b any) (any, error)
		exact func(z, x, y *big.Int) *big.Int
	}{
		"+": {plus, (*big.Int).Add},
		"-": {minus, (*big.Int).Sub},
		"*": {times, (*big.Int).Mul},
	} {
		for _, x := range edges {
			for _, y := range edges {
				want := op.exact(new(big.Int), big.NewInt(int64(x)), big.NewInt(int64(y)))
				got, err := op.ours(x, y)
				if !want.IsInt64() {
					if !errors.Is(err, errOverflow) {
						t.Errorf("%d %s %d: got %v, %v, want %v to be an error", x, name, y, got, err, want)
					}
				} else if err != nil || got != int(want.Int64()) {
					t.Errorf("%d %s %d: got %v, %v, want %v", x, name, y, got, err, want)
				}
			}
		}
	}
}
