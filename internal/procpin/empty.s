// This file lets the compiler accept the functions without a body: the linker
// finds them in the runtime.
