  ;; Two pages, and an allocator that only goes on. The host's data goes from 65,536 upwards.
  (memory (export "memory") 2)
  (global $heap (mut i32) (i32.const 65536))
  (func $allocate (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $heap) (i32.const 15)) (i32.const -16)))
    (global.set $heap (i32.add (local.get $at) (local.get 3)))
    (block $there
      (loop $more
        (br_if $there (i32.le_u (global.get $heap) (i32.shl (memory.size) (i32.const 16))))
        (br_if $more (i32.ge_s (memory.grow (i32.const 16)) (i32.const 0)))
        unreachable))
    (local.get $at))
