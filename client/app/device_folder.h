#pragma once

#include <string>

namespace fleetune {

// Where a device keeps what. One device a folder.
struct DeviceFolder {
  std::string root;

  std::string settings() const { return root + "/client.toml"; }     // its owner's
  std::string enrolled() const { return root + "/enrolled.toml"; }   // identity.h
  std::string identity_key() const { return root + "/identity.key"; }
  std::string key() const { return root + "/device.key"; }  // of the certificate, for TLS
  std::string certificate() const { return root + "/device.crt"; }
  std::string ca() const { return root + "/ca.crt"; }
  std::string state() const { return root + "/state.db"; }           // state_store.h
  std::string uploads() const { return root + "/uploads"; }          // payload_files.h
  std::string adapters() const { return root + "/adapters"; }        // client/update/adapter_shelf.h
  std::string models() const { return root + "/models"; }            // client/update/model_shelf.h
  std::string downloads() const { return root + "/downloads"; }
  std::string prompts() const { return root + "/prompts"; }          // inference/prompts/prompt_files.h, sealed
  std::string api_token() const { return root + "/api.token"; }      // device_api.h
  std::string lock() const { return root + "/daemon.lock"; }
  // Held while a personal adapter is trained: no two at once, and the daemon trains nothing meanwhile.
  std::string personal_lock() const { return root + "/personal.lock"; }
  // Examples and audit log lie in `root` itself: client/data/example_store.h; "checkpoints": checkpoint_files.h there;
  // "personal": client/personal/personal_shelf.h.
};

}  // namespace fleetune
