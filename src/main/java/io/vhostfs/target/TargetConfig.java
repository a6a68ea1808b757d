package io.vhostfs.target;

import io.vhostfs.bdev.BlockDeviceSpec;
import io.vhostfs.blobstore.StoreOptions;
import io.vhostfs.reactor.IdlePolicy;
import java.nio.file.Path;
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
 * @param metaCacheBytes memory of each store for the nodes of its tree
 */
public record TargetConfig(
        String coreMask,
        IdlePolicy idlePolicy,
        List<DeviceConfig> devices,
        List<ShareConfig> shares,
        boolean create,
        long metaCacheBytes) {
    /** Shares of one process: each costs a socket, a thread and its queues' memory. */
    public static final int MAX_SHARES = 256;

    /** With metadata caches of the default size. */
    public TargetConfig(
            String coreMask,
            IdlePolicy idlePolicy,
            List<DeviceConfig> devices,
            List<ShareConfig> shares,
            boolean create) {
        this(coreMask, idlePolicy, devices, shares, create, StoreOptions.DEFAULT.metaCacheBytes());
    }

    public TargetConfig {
        if (metaCacheBytes < StoreOptions.MIN_META_CACHE_BYTES || metaCacheBytes > StoreOptions.MAX_META_CACHE_BYTES) {
            throw new ConfigException("a metadata cache of " + BlockDeviceSpec.formatSize(metaCacheBytes)
                    + " is not possible; remedy: --meta-cache with "
                    + BlockDeviceSpec.formatSize(StoreOptions.MIN_META_CACHE_BYTES) + " to "
                    + BlockDeviceSpec.formatSize(StoreOptions.MAX_META_CACHE_BYTES));
        }
        devices = List.copyOf(devices);
        shares = List.copyOf(shares);
        if (devices.isEmpty()) {
            throw new ConfigException(
                    "no block device; remedy: --bdev malloc:1G or --bdev file:PATH,size=10G --create");
        }
        if (shares.isEmpty() || shares.size() > MAX_SHARES) {
            throw new ConfigException(
                    "1 to " + MAX_SHARES + " shares are needed; remedy: --share tag=NAME,socket=PATH or mount=DIR");
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
            Path mount = share.mount();
            if (mount != null && !taken.add("mount " + normal(mount))) {
                throw new ConfigException(share.describe() + ": another share is mounted at " + mount);
            }
        }
        for (ShareConfig share : shares) {
            checkMount(share, devices, shares);
        }
        checkModes(devices, shares);
        checkQuotas(devices, shares);
    }

    /** A directory has one quota. */
    private static void checkQuotas(List<DeviceConfig> devices, List<ShareConfig> shares) {
        for (ShareConfig share : shares) {
            for (ShareConfig other : shares) {
                boolean differ = share.quota() != null
                        && other.quota() != null
                        && !share.quota().equals(other.quota());
                if (differ
                        && deviceOf(devices, share).equals(deviceOf(devices, other))
                        && contains(share.root(), other.root())
                        && contains(other.root(), share.root())) {
                    throw new ConfigException(share.describe() + " and " + other.describe()
                            + " have the same files and different quotas; remedy: say it once");
                }
            }
        }
    }

    /** Nothing that this process itself reads or writes may lie below its own mount: it would wait for itself. */
    private static void checkMount(ShareConfig share, List<DeviceConfig> devices, List<ShareConfig> shares) {
        if (share.mount() == null) {
            return;
        }
        Path mount = normal(share.mount());
        for (DeviceConfig device : devices) {
            if (BlockDeviceSpec.parse(device.spec()) instanceof BlockDeviceSpec.FilePath file
                    && normal(Path.of(file.path())).startsWith(mount)) {
                throw new ConfigException(share.describe() + ": the store " + file.path() + " lies below " + mount
                        + ", where the share would be mounted; remedy: mount it elsewhere");
            }
        }
        for (ShareConfig other : shares) {
            if (other.socket() != null && normal(other.socket()).startsWith(mount)) {
                throw new ConfigException(share.describe() + ": the socket " + other.socket() + " lies below " + mount
                        + ", where the share would be mounted; remedy: a socket elsewhere");
            }
            if (!other.tag().equals(share.tag())
                    && other.mount() != null
                    && normal(other.mount()).startsWith(mount)) {
                throw new ConfigException(share.describe() + ": " + other.mount() + ", where another share is mounted,"
                        + " lies below " + mount + "; remedy: mount it elsewhere");
            }
        }
    }

    private static Path normal(Path path) {
        return path.toAbsolutePath().normalize();
    }

    /** An exclusive share's client caches for good what it has seen: nobody else may change the same files. */
    private static void checkModes(List<DeviceConfig> devices, List<ShareConfig> shares) {
        for (ShareConfig share : shares) {
            for (ShareConfig other : shares) {
                if (!share.tag().equals(other.tag())
                        && share.mode() == ShareConfig.Mode.EXCLUSIVE
                        && deviceOf(devices, share).equals(deviceOf(devices, other))
                        && (contains(share.root(), other.root()) || contains(other.root(), share.root()))) {
                    throw new ConfigException(share.describe() + " is mode=exclusive, but " + other.describe()
                            + " has the same files; remedy: mode=shared for both");
                }
            }
        }
    }

    private static boolean contains(String root, String other) {
        return Path.of(other).normalize().startsWith(Path.of(root).normalize());
    }

    /** The device a share lies on. */
    public DeviceConfig deviceOf(ShareConfig share) {
        return deviceOf(devices, share);
    }

    private static DeviceConfig deviceOf(List<DeviceConfig> devices, ShareConfig share) {
        for (DeviceConfig device : devices) {
            if (device.name().equals(share.device())) {
                return device;
            }
        }
        return devices.getFirst();
    }
}
