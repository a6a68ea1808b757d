package io.vhostfs.target;

import io.vhostfs.reactor.IdlePolicy;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/**
 * All that a target is started with; checked as a whole on construction.
 *
 * @param coreMask cores for reactors, as {@code 0x6} or {@code [1,2]}; empty: one reactor that is not pinned
 * @param idlePolicy what a reactor does when there is nothing to do
 * @param devices block devices, at least one
 * @param shares shares, at least one
 * @param create make and format what does not exist yet
 */
public record TargetConfig(
        String coreMask, IdlePolicy idlePolicy, List<DeviceConfig> devices, List<ShareConfig> shares, boolean create) {
    /** Shares of one process: each costs a socket, a thread and its queues' memory. */
    public static final int MAX_SHARES = 256;

    public TargetConfig {
        devices = List.copyOf(devices);
        shares = List.copyOf(shares);
        if (devices.isEmpty()) {
            throw new ConfigException(
                    "no block device; remedy: --bdev malloc:1G or --bdev file:PATH,size=10G --create");
        }
        if (shares.isEmpty() || shares.size() > MAX_SHARES) {
            throw new ConfigException(
                    "1 to " + MAX_SHARES + " shares are needed; remedy: --share tag=NAME,socket=PATH");
        }
        Set<String> names = new HashSet<>();
        for (DeviceConfig device : devices) {
            if (!names.add(device.name())) {
                throw new ConfigException("block device " + device.name() + " is given twice");
            }
        }
        Set<Object> taken = new HashSet<>();
        for (ShareConfig share : shares) {
            if (share.device().isEmpty() ? devices.size() > 1 : !names.contains(share.device())) {
                throw new ConfigException(share.describe() + ": bdev= must name one of " + names);
            }
            if (!taken.add("tag " + share.tag())) {
                throw new ConfigException(share.describe() + " is given twice");
            }
            if (share.socket() != null
                    && !taken.add(share.socket().toAbsolutePath().normalize())) {
                throw new ConfigException(share.describe() + ": another share has the socket " + share.socket());
            }
        }
    }

    /** The device a share lies on. */
    public DeviceConfig deviceOf(ShareConfig share) {
        for (DeviceConfig device : devices) {
            if (device.name().equals(share.device())) {
                return device;
            }
        }
        return devices.getFirst();
    }
}
