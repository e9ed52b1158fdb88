#pragma once

#include <sys/stat.h>

#include <fstream>
#include <string>
#include <vector>

#include "client/trainer/job_channel.h"
#include "client/trainer/job_message.h"
#include "client/trainer/trainer_process.h"

namespace fleetune {

// A trainer for tests, in `folder`: a shell script that takes a job, does `first`, says `messages`, then does `after`. It waits for
// the job, since one that ends before it is sent was never started.
inline TrainerProcess::Options TrainerScript(const std::string& folder, const std::vector<JobMessage>& messages,
                                             const std::string& after, const std::string& first = ":") {
  const std::string frames = folder + "/frames", program = folder + "/trainer";
  std::ofstream file(frames, std::ios::binary);
  for (const JobMessage& message : messages) {
    const Bytes frame = *EncodeJobFrame(message);
    file.write(reinterpret_cast<const char*>(frame.data()), static_cast<std::streamsize>(frame.size()));
  }
  file.close();
  std::ofstream(program) << "#!/bin/sh\nhead -c 1 <&3 >/dev/null\n"
                         << first << "\ncat " << frames << " >&3\n" << after << "\n";
  chmod(program.c_str(), 0755);
  return {.program = program};
}

}  // namespace fleetune
