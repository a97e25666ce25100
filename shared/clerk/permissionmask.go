package clerk

import "math/big"

// mask is a number of fpm. The zero value grants nothing.
type mask struct {
	valid bool
	value *big.Int
}

func readMask(text string) mask {
	if text == "" || len(text) > maxMask {
		return mask{}
	}
	for _, c := range []byte(text) {
		if c < '0' || c > '9' {
			return mask{}
		}
	}
	value, ok := new(big.Int).SetString(text, 10)
	return mask{valid: ok, value: value}
}

// bits is how many bits the number needs.
func (m mask) bits() int {
	if !m.valid {
		return 0
	}
	return m.value.BitLen()
}

func (m mask) has(bit int) bool { return m.valid && m.value.Bit(bit) == 1 }
