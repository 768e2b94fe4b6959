/* The part of LiteRT's C API (2.3) that detect_litert.c calls. The Python wheel "ai-edge-litert" has the
 * library, libLiteRt.so, but not its headers; who has them (litert/c/) includes those instead. */
#ifndef LITERT_C_H
#define LITERT_C_H

#include <stddef.h>

typedef int LiteRtStatus; /* 0: good */
typedef size_t LiteRtParamIndex;
typedef struct LiteRtEnvironmentT *LiteRtEnvironment;
typedef struct LiteRtModelT *LiteRtModel;
typedef struct LiteRtOptionsT *LiteRtOptions;
typedef struct LiteRtCompiledModelT *LiteRtCompiledModel;
typedef struct LiteRtSignatureT *LiteRtSignature;
typedef struct LiteRtTensorT *LiteRtTensor;
typedef struct LiteRtTensorBufferT *LiteRtTensorBuffer;
typedef struct LiteRtTensorBufferRequirementsT *LiteRtTensorBufferRequirements;

/* Element type and shape; only passed on, so that its fields do not matter. Larger than the real one. */
typedef union {
  long long align;
  unsigned char bytes[256];
} LiteRtRankedTensorType;

enum { kLiteRtHwAcceleratorCpu = 1 };
enum { kLiteRtTensorBufferLockModeRead = 0, kLiteRtTensorBufferLockModeWrite = 1 };

LiteRtStatus LiteRtCreateEnvironment(int count, const void *options, LiteRtEnvironment *made);
LiteRtStatus LiteRtCreateModelFromBuffer(LiteRtEnvironment environment, const void *data,
                                         size_t size, LiteRtModel *made);
LiteRtStatus LiteRtCreateOptions(LiteRtOptions *made);
LiteRtStatus LiteRtSetOptionsHardwareAccelerators(LiteRtOptions options, int accelerators);
LiteRtStatus LiteRtCreateCompiledModel(LiteRtEnvironment environment, LiteRtModel model,
                                       LiteRtOptions options, LiteRtCompiledModel *made);
LiteRtStatus LiteRtGetModelSignature(LiteRtModel model, LiteRtParamIndex index,
                                     LiteRtSignature *found);
LiteRtStatus LiteRtGetSignatureInputTensorByIndex(LiteRtSignature signature, LiteRtParamIndex index,
                                                  LiteRtTensor *found);
LiteRtStatus LiteRtGetNumSignatureOutputs(LiteRtSignature signature, LiteRtParamIndex *count);
LiteRtStatus LiteRtGetSignatureOutputName(LiteRtSignature signature, LiteRtParamIndex index,
                                          const char **name);
LiteRtStatus LiteRtGetSignatureOutputTensorByIndex(LiteRtSignature signature,
                                                   LiteRtParamIndex index, LiteRtTensor *found);
LiteRtStatus LiteRtGetRankedTensorType(LiteRtTensor tensor, LiteRtRankedTensorType *type);
LiteRtStatus LiteRtGetCompiledModelInputBufferRequirements(LiteRtCompiledModel model,
                                                           LiteRtParamIndex signature,
                                                           LiteRtParamIndex index,
                                                           LiteRtTensorBufferRequirements *found);
LiteRtStatus LiteRtGetCompiledModelOutputBufferRequirements(LiteRtCompiledModel model,
                                                            LiteRtParamIndex signature,
                                                            LiteRtParamIndex index,
                                                            LiteRtTensorBufferRequirements *found);
LiteRtStatus LiteRtCreateManagedTensorBufferFromRequirements(
    LiteRtEnvironment environment, const LiteRtRankedTensorType *type,
    LiteRtTensorBufferRequirements requirements, LiteRtTensorBuffer *made);
LiteRtStatus LiteRtLockTensorBuffer(LiteRtTensorBuffer buffer, void **address, int mode);
LiteRtStatus LiteRtUnlockTensorBuffer(LiteRtTensorBuffer buffer);
LiteRtStatus LiteRtRunCompiledModel(LiteRtCompiledModel model, LiteRtParamIndex signature,
                                    size_t input_count, LiteRtTensorBuffer *inputs,
                                    size_t output_count, LiteRtTensorBuffer *outputs);
void LiteRtDestroyTensorBuffer(LiteRtTensorBuffer buffer);
void LiteRtDestroyCompiledModel(LiteRtCompiledModel model);
void LiteRtDestroyOptions(LiteRtOptions options);
void LiteRtDestroyModel(LiteRtModel model);
void LiteRtDestroyEnvironment(LiteRtEnvironment environment);

#endif
