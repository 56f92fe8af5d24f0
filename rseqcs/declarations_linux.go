//go:build amd64 || arm64

package rseqcs

// The section functions of the assembly. They are reached through sectionTable
// only, and their arguments and results are in registers, which a declaration
// cannot say.

func popSelfMMCID()
func pushSelfMMCID()
func popBatchSelfMMCID()
func pushBatchSelfMMCID()
func setHeaderSelfMMCID()
func addSelfMMCID()
func allocSelfMMCID()
func allocZeroedSelfMMCID()
func freeSelfMMCID()

func popSelfCPUID()
func pushSelfCPUID()
func popBatchSelfCPUID()
func pushBatchSelfCPUID()
func setHeaderSelfCPUID()
func addSelfCPUID()
func allocSelfCPUID()
func allocZeroedSelfCPUID()
func freeSelfCPUID()

func popLibcMMCID()
func pushLibcMMCID()
func popBatchLibcMMCID()
func pushBatchLibcMMCID()
func setHeaderLibcMMCID()
func addLibcMMCID()
func allocLibcMMCID()
func allocZeroedLibcMMCID()
func freeLibcMMCID()

func popLibcCPUID()
func pushLibcCPUID()
func popBatchLibcCPUID()
func pushBatchLibcCPUID()
func setHeaderLibcCPUID()
func addLibcCPUID()
func allocLibcCPUID()
func allocZeroedLibcCPUID()
func freeLibcCPUID()

func popByP()
func pushByP()
func popBatchByP()
func pushBatchByP()
func setHeaderByP()
func addByP()
func allocByP()
func allocZeroedByP()
func freeByP()
