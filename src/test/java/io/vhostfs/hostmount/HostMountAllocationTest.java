package io.vhostfs.hostmount;

import static org.junit.jupiter.api.Assertions.*;

import com.sun.management.ThreadMXBean;
import io.vhostfs.reactor.IdlePolicy;
import io.vhostfs.target.DeviceConfig;
import io.vhostfs.target.ShareConfig;
import io.vhostfs.target.Target;
import io.vhostfs.target.TargetConfig;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.Parameter;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.provider.EnumSource;

/** Requests of a warm mount make no garbage. What uses the mount is another process. */
@Tag("hostmount")
@ParameterizedClass
@EnumSource(MountMode.class)
class HostMountAllocationTest {
    private static final int REQUESTS = 10_000;

    /** Until the compiler is through with the paths of a workload, beside whatever else the machine does. */
    private static final int MAX_ROUNDS = 200;

    /** What the compiler may leave: far below one object per request. */
    private static final long TOLERATED_BYTES = REQUESTS;

    @Parameter
    MountMode mode = MountMode.READ;

    @TempDir
    Path directory;

    @AfterAll
    static void restoreTheKernelsParameter() throws IOException {
        MountMode.restore();
    }

    private void assertNoGarbage(String workload) throws Exception {
        ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
        long reactor = Thread.getAllStackTraces().keySet().stream()
                .filter(t -> t.getName().equals("reactor"))
                .findFirst()
                .orElseThrow()
                .threadId();
        long least = Long.MAX_VALUE;
        for (int round = 0; round < MAX_ROUNDS && least > TOLERATED_BYTES; round++) {
            long before = threads.getThreadAllocatedBytes(reactor);
            MountedTarget.run(0, directory, "sh", "-c", workload);
            least = Math.min(least, threads.getThreadAllocatedBytes(reactor) - before);
        }
        assertTrue(least <= TOLERATED_BYTES, workload + ": " + least + " bytes");
    }

    @Test
    void readsWritesAndNames() throws Exception {
        TargetConfig config = new TargetConfig(
                "",
                IdlePolicy.ADAPTIVE,
                List.of(DeviceConfig.parse("malloc:128M")),
                List.of(ShareConfig.parse("tag=t,mode=shared,mount=" + directory + mode.option())),
                true);
        try (Target target = Target.start(config)) {
            assertNotNull(target);
            MountedTarget.run(0, directory, "dd", "if=/dev/urandom", "of=file", "bs=1M", "count=40");
            String dd = " bs=4k count=" + REQUESTS + " status=none";
            assertNoGarbage("dd if=file of=/dev/null iflag=direct" + dd);
            assertNoGarbage("dd if=/dev/zero of=file oflag=direct conv=notrunc" + dd);
            assertNoGarbage("i=0; while [ $i -lt 2500 ]; do [ -e file ]; [ -e none ]; : > file; i=$((i+1)); done");
        }
    }
}
