package postgres

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"testing"
)

func archive(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var buffer bytes.Buffer
	zipped := gzip.NewWriter(&buffer)
	entries := tar.NewWriter(zipped)
	for name, content := range files {
		header := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o755, Size: int64(len(content))}
		if err := entries.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		if _, err := entries.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := entries.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zipped.Close(); err != nil {
		t.Fatal(err)
	}
	return buffer.Bytes()
}

func TestUnpack_StaysInItsFolder(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"../outside", "package/../../outside", "/outside"} {
		parent := t.TempDir()
		dir := filepath.Join(parent, "dir")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := unpack(archive(t, map[string]string{name: "x"}), dir); err == nil {
			t.Errorf("unpack of %q = nil, want an error", name)
		}
		if exists(filepath.Join(parent, "outside")) {
			t.Errorf("unpack of %q left its folder", name)
		}
	}
}

func TestLink_SurvivesAMove(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "package")
	err := unpack(archive(t, map[string]string{
		"package/native/lib/libx.so.1.2":  "library",
		"package/native/pg-symlinks.json": `[{"source":"native/lib/libx.so.1.2","target":"native/lib/libx.so"}]`,
	}), filepath.Dir(dir))
	if err != nil {
		t.Fatal(err)
	}
	if err := link(dir); err != nil {
		t.Fatalf("link = %v", err)
	}
	moved := dir + "-moved"
	if err := os.Rename(dir, moved); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(moved, "native", "lib", "libx.so"))
	if err != nil || string(got) != "library" {
		t.Errorf("the library under its short name = %q, %v; want %q", got, err, "library")
	}
}
