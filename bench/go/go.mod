module kahn.invalid/bench

go 1.21
