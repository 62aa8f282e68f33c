    ;; At 16: the outcome `returned` with one text part, "ok".
    (data (i32.const 16) "\00\00\00\00\20\00\00\00\01\00\00\00")
    (data (i32.const 32) "\00\00\00\00\50\00\00\00\02\00\00\00")
    (data (i32.const 80) "ok")
