/** The cooldown side of the server in one piece: reports, elections, policies, collection. */
import type { FrontendCalls } from '../base/agent_messages.ts';
import type { BackendId } from '../base/ids.ts';
import { CooldownFollow } from './cooldown_follow.ts';
import { CooldownScheduler, type CooldownDeps } from './cooldown_scheduler.ts';
import { PolicySync } from './policy_sync.ts';
import { followTabletSizes } from './tablet_sizes.ts';
import { TabletReports } from './tablet_reports.ts';
import { UnusedFiles } from './unused_files.ts';

export class Cooldown {
  readonly reports: TabletReports;
  readonly scheduler: CooldownScheduler;
  readonly policies: PolicySync;
  readonly #unusedFiles: UnusedFiles;
  readonly #follow: CooldownFollow;
  readonly #stopSizes: () => void;

  constructor(deps: CooldownDeps) {
    this.reports = new TabletReports(deps);
    this.scheduler = new CooldownScheduler(deps);
    this.policies = new PolicySync(deps);
    this.#unusedFiles = new UnusedFiles({
      ...deps,
      liveness: this.scheduler.liveness,
      isChanging: (tabletId) => this.scheduler.isBusy(tabletId),
    });
    this.#follow = new CooldownFollow(deps);
    this.#stopSizes = followTabletSizes(deps);
    this.reports.onVersions((versions) => {
      this.policies.reported(versions);
    });
  }

  start(): void {
    this.scheduler.start();
  }

  async close(): Promise<void> {
    this.#stopSizes();
    this.#follow.close();
    await this.scheduler.close();
    await this.policies.close();
  }

  async confirmUnusedFiles(
    request: FrontendCalls['confirmUnusedRemoteFiles']['request'],
    from: BackendId,
  ): Promise<FrontendCalls['confirmUnusedRemoteFiles']['reply']> {
    return await this.#unusedFiles.confirm(request, from);
  }
}
