// The generated code imports its packages by this name.
module wit_component

go 1.25

require go.bytecodealliance.org/pkg v0.2.1
