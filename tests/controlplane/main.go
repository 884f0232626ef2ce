// Command controlplane is a Kubernetes control plane for tests, and the two
// clients that tests use on it, as one program. Its first argument, or the name
// it is called by through a link, says which part it is:
//
//	controlplane kube-apiserver --etcd-servers=...
//	ln -s controlplane kubectl && ./kubectl get namespaces
//
// Every part is the upstream code, unchanged. One program instead of five means
// that the packages they share, most of them, are compiled and linked once.
package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"

	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	kubectl "k8s.io/kubectl/pkg/cmd"
	kubectlutil "k8s.io/kubectl/pkg/cmd/util"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
)

// parts maps a name to the function that runs that part and returns its exit
// code. By the time one is called, os.Args looks as if the part were a program
// of its own: several of them read it themselves.
var parts = map[string]func() int{
	"etcd": func() int {
		etcdmain.Main(os.Args)
		return 0
	},
	"kube-apiserver": func() int {
		return cli.Run(apiserver.NewAPIServerCommand())
	},
	"kube-controller-manager": func() int {
		return cli.Run(controllermanager.NewControllerManagerCommand())
	},
	"kubectl": runKubectl,
	"version": runVersion,
}

func main() {
	name := filepath.Base(os.Args[0])
	if _, linked := parts[name]; !linked {
		if len(os.Args) < 2 {
			fail("say which part to run")
		}
		name = os.Args[1]
		os.Args = os.Args[1:]
	}
	run, known := parts[name]
	if !known {
		fail(fmt.Sprintf("there is no part %q", name))
	}
	os.Exit(run())
}

func fail(problem string) {
	names := slices.Sorted(maps.Keys(parts))
	fmt.Fprintf(os.Stderr, "controlplane: %s; the parts are %s\n", problem, strings.Join(names, ", "))
	os.Exit(2)
}

func runKubectl() int {
	if err := cli.RunNoErrOutput(kubectl.NewDefaultKubectlCommand()); err != nil {
		// Prints the error the way kubectl's users know it, and exits.
		kubectlutil.CheckErr(err)
	}
	return 0
}

// runVersion prints the upstream versions from the build's own record, the one
// place that cannot disagree with go.mod.
func runVersion() int {
	build, ok := debug.ReadBuildInfo()
	if !ok {
		fmt.Fprintln(os.Stderr, "controlplane: built without module information")
		return 1
	}
	upstream := map[string]string{
		"go.etcd.io/etcd/server/v3": "etcd",
		"helm.sh/helm/v4":           "helm",
		"k8s.io/kubernetes":         "kubernetes",
	}
	for _, module := range build.Deps {
		if name, listed := upstream[module.Path]; listed {
			fmt.Println(name, module.Version)
		}
	}
	fmt.Println("go", build.GoVersion)
	return 0
}
