#pragma once

#include <cstdint>

#include "client/trainer/job_channel.h"
#include "client/trainer/job_message.h"
#include "lora/train/trainer.h"

namespace fleetune {

// The trainer's end of a training: tells the daemon how it goes, and does as it wishes. Borrows both. Not thread-safe.
class JobControl {
 public:
  // A checkpoint each `checkpoint_steps` steps; 0: none.
  JobControl(JobChannel* daemon, const AdapterTrainer* trainer, uint32_t checkpoint_steps)
      : daemon_(daemon), trainer_(trainer), checkpoint_steps_(checkpoint_steps), kept_step_(trainer->steps_done()) {}

  // Between two passes: false if the training is to end, because the daemon said so or is gone. A pause is spent in here.
  bool GoOn();

  // After a step: its progress, and a checkpoint if one is due. False if nobody listens any more.
  bool Tell(const TrainStep& step);

 private:
  bool Pause();
  bool SendCheckpoint();

  JobChannel* daemon_;
  const AdapterTrainer* trainer_;
  const uint32_t checkpoint_steps_;
  uint32_t kept_step_;  // of the newest checkpoint, here or with the daemon
};

}  // namespace fleetune
