/* interp/exec_numeric.c: handlers of scalar arithmetic, comparison and conversion. */
#include "interp/dispatch.h"
#include "interp/numeric.h"

#define RESULT(name, R, words, ...)                                                                          \
    HANDLER(name)                                                                                            \
    {                                                                                                        \
        SET_ACC_##R(__VA_ARGS__);                                                                            \
        NEXT(words);                                                                                         \
    }                                                                                                        \
    HANDLER(name##_D)                                                                                        \
    {                                                                                                        \
        SET_ACC_##R(__VA_ARGS__);                                                                            \
        KEEP_##R();                                                                                          \
        NEXT(words);                                                                                         \
    }
#define RESULT_X(name, R, words, ...)                                                                        \
    HANDLER(name)                                                                                            \
    {                                                                                                        \
        TYPE_##R result;                                                                                     \
        TRAP_IF(__VA_ARGS__);                                                                                \
        SET_ACC_##R(result);                                                                                 \
        NEXT(words);                                                                                         \
    }                                                                                                        \
    HANDLER(name##_D)                                                                                        \
    {                                                                                                        \
        TYPE_##R result;                                                                                     \
        TRAP_IF(__VA_ARGS__);                                                                                \
        SET_ACC_##R(result);                                                                                 \
        KEEP_##R();                                                                                          \
        NEXT(words);                                                                                         \
    }
#define BIN_C(ID, id, T, R)                                                                                  \
    RESULT(ID##_SS, R, 3, op_##id(AT_##T(SLOT(1)), AT_##T(SLOT(2))))                                         \
    RESULT(ID##_AS, R, 2, op_##id(ACC_##T, AT_##T(SLOT(1))))                                                 \
    RESULT(ID##_SI, R, 3, op_##id(AT_##T(SLOT(1)), CONST_##T))                                               \
    RESULT(ID##_AI, R, 3, op_##id(ACC_##T, CONST_##T))
#define BIN_N(ID, id, T, R)                                                                                  \
    BIN_C(ID, id, T, R)                                                                                      \
    RESULT(ID##_SA, R, 2, op_##id(AT_##T(SLOT(1)), ACC_##T))                                                 \
    RESULT(ID##_IS, R, 3, op_##id(CONST_##T, AT_##T(SLOT(1))))                                               \
    RESULT(ID##_IA, R, 3, op_##id(CONST_##T, ACC_##T))
#define CMP(ID, id, T, NEGATED, SWAPPED) BIN_C(ID, id, T, i)
#define BIN_X(ID, id, T)                                                                                     \
    RESULT_X(ID##_SS, T, 3, op_##id(AT_##T(SLOT(1)), AT_##T(SLOT(2)), &result))                              \
    RESULT_X(ID##_AS, T, 2, op_##id(ACC_##T, AT_##T(SLOT(1)), &result))                                      \
    RESULT_X(ID##_SI, T, 3, op_##id(AT_##T(SLOT(1)), CONST_##T, &result))                                    \
    RESULT_X(ID##_AI, T, 3, op_##id(ACC_##T, CONST_##T, &result))                                            \
    RESULT_X(ID##_SA, T, 2, op_##id(AT_##T(SLOT(1)), ACC_##T, &result))                                      \
    RESULT_X(ID##_IS, T, 3, op_##id(CONST_##T, AT_##T(SLOT(1)), &result))                                    \
    RESULT_X(ID##_IA, T, 3, op_##id(CONST_##T, ACC_##T, &result))
#define UN(ID, id, T, R)                                                                                     \
    RESULT(ID##_S, R, 2, op_##id(AT_##T(SLOT(1))))                                                           \
    RESULT(ID##_A, R, 2, op_##id(ACC_##T))
#define UN_X(ID, id, T, R)                                                                                   \
    RESULT_X(ID##_S, R, 2, op_##id(AT_##T(SLOT(1)), &result))                                                \
    RESULT_X(ID##_A, R, 2, op_##id(ACC_##T, &result))
#include "interp/ops.def"
