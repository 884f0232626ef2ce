// Command argocd is the core of Argo CD: the two components that bring a cluster to what Git says. Its first argument says which of
// them to be. Both are the upstream code, unchanged; what is left out, the web server above all, would double the time to build.
package main

import (
	"os"

	"github.com/spf13/cobra"

	controller "github.com/argoproj/argo-cd/v3/cmd/argocd-application-controller/commands"
	reposerver "github.com/argoproj/argo-cd/v3/cmd/argocd-repo-server/commands"
)

func main() {
	argocd := &cobra.Command{Use: "argocd"}
	argocd.AddCommand(controller.NewCommand(), reposerver.NewCommand())
	if argocd.Execute() != nil {
		os.Exit(1)
	}
}
