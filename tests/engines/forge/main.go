// Command forge is what the engines need around them: a Git server, an OCI registry, and a cache, on loopback.
//
//	forge -git 127.0.0.1:8001 -repositories DIRECTORY -registry 127.0.0.1:8002 -certificate FILE -key FILE -redis 127.0.0.1:8003
//
// Git is served by git's own http-backend, for reading and, where a repository allows it, for writing. The registry speaks TLS,
// as clients take one that does not for a mistake. The cache is the one that Argo CD brings for where no Redis runs.
package main

import (
	"flag"
	"log"
	"net/http"
	"net/http/cgi"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/alicebob/miniredis/v2"
	"github.com/google/go-containerregistry/pkg/registry"
)

func main() {
	gitAddress := flag.String("git", "", "where Git is served")
	repositories := flag.String("repositories", "", "the directory of the bare repositories")
	registryAddress := flag.String("registry", "", "where charts and images are served")
	certificate := flag.String("certificate", "", "the registry's certificate")
	key := flag.String("key", "", "its key")
	redisAddress := flag.String("redis", "", "where the cache is served")
	flag.Parse()

	execPath, err := exec.Command("git", "--exec-path").Output()
	if err != nil {
		log.Fatal("git is needed: ", err)
	}
	backend := &cgi.Handler{
		Path: filepath.Join(strings.TrimSpace(string(execPath)), "git-http-backend"),
		Env:  []string{"GIT_PROJECT_ROOT=" + *repositories, "GIT_HTTP_EXPORT_ALL=1"},
	}
	if err := miniredis.NewMiniRedis().StartAddr(*redisAddress); err != nil {
		log.Fatal(err)
	}
	go func() { log.Fatal(http.ListenAndServe(*gitAddress, backend)) }()
	log.Fatal(http.ListenAndServeTLS(*registryAddress, *certificate, *key, registry.New()))
}
