package console

import (
	"slices"
	"strings"

	"github.com/charmbracelet/x/ansi"
)

// Columns writes rows with their cells below each other. A row without cells begins
// columns anew; what stands last in a row takes no room in its column.
func Columns(rows [][]string) string {
	var b strings.Builder
	for len(rows) > 0 {
		end := slices.IndexFunc(rows, func(row []string) bool { return len(row) == 0 })
		if end < 0 {
			end = len(rows)
		}
		var widths []int
		for _, row := range rows[:end] {
			for i := range len(row) - 1 {
				if i == len(widths) {
					widths = append(widths, 0)
				}
				widths[i] = max(widths[i], ansi.StringWidth(row[i]))
			}
		}
		for _, row := range rows[:end] {
			line := ""
			for i, cell := range row {
				line += cell
				if i < len(row)-1 {
					line += strings.Repeat(" ", widths[i]-ansi.StringWidth(cell)+2)
				}
			}
			b.WriteString(strings.TrimRight(line, " ") + "\n")
		}
		if end < len(rows) {
			b.WriteString("\n")
			end++
		}
		rows = rows[end:]
	}
	return b.String()
}
