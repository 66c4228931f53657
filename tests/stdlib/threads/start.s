# tests/stdlib/threads/start.s: what the host calls on a new thread, tid and argument. It has no stack yet: the
# first word at the argument is its top.
	.globaltype __stack_pointer, i32
	.functype begin (i32, i32) -> ()
	.section .text.wasi_thread_start,"",@
	.globl wasi_thread_start
	.export_name wasi_thread_start, wasi_thread_start
	.type wasi_thread_start,@function
wasi_thread_start:
	.functype wasi_thread_start (i32, i32) -> ()
	local.get 1
	i32.load 0
	global.set __stack_pointer
	local.get 0
	local.get 1
	call begin
	end_function
